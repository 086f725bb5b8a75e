//! The console: files built into the binary, or of a folder.
//!
//! The build of the console puts `.br` and `.gz` beside each file worth it; they are sent to
//! clients that take them. Files whose name carries a hash are kept by browsers for ever.

use std::{
    borrow::Cow,
    path::{Component, Path, PathBuf},
};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

const INDEX: &str = "index.html";

#[derive(RustEmbed)]
#[folder = "../../console/dist"]
#[allow_missing = true]
struct Embedded;

/// Shown when no console was built.
const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Quaywatch</title></head>
<body><h1>Quaywatch runs; its console is not built in</h1>
<p>Build it with <code>npm ci &amp;&amp; npm run build</code> in <code>console/</code> and build the
binary again, or use <code>cargo xtask run</code>, which does both.</p>
<p>The API works without it: <a href=\"/docs/\">/docs</a>.</p></body></html>
";

/// Where the files of the console are.
#[derive(Debug, Clone)]
pub(crate) enum Assets {
    /// In the binary.
    Embedded,
    /// In a folder, read anew for every request.
    Folder(PathBuf),
}

struct File {
    bytes: Cow<'static, [u8]>,
    hash: [u8; 32],
}

impl Assets {
    /// Answers a request for `path` of the console.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        let name = match path.trim_start_matches('/') {
            "" => INDEX,
            name => name,
        };
        if let Some(response) = self.file(name, headers).await {
            return response;
        }
        // The console has its own addresses; a person who opens one gets the console.
        let wants_page = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        if !wants_page {
            return StatusCode::NOT_FOUND.into_response();
        }
        match self.file(INDEX, headers).await {
            Some(response) => response,
            None => placeholder(),
        }
    }

    async fn file(&self, name: &str, headers: &HeaderMap) -> Option<Response> {
        let accepted = accepted_encodings(headers);
        for (encoding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
            if accepted.contains(&encoding)
                && let Some(file) = self.read(&format!("{name}{suffix}")).await
            {
                return Some(respond(name, &file, Some(encoding), headers));
            }
        }
        let file = self.read(name).await?;
        Some(respond(name, &file, None, headers))
    }

    async fn read(&self, name: &str) -> Option<File> {
        match self {
            Self::Embedded => {
                let file = Embedded::get(name)?;
                Some(File {
                    hash: file.metadata.sha256_hash(),
                    bytes: file.data,
                })
            }
            Self::Folder(folder) => {
                let path = folder.join(harmless(name)?);
                let bytes = tokio::fs::read(path).await.ok()?;
                Some(File {
                    hash: Sha256::digest(&bytes).into(),
                    bytes: bytes.into(),
                })
            }
        }
    }
}

/// `name` as a path that stays in its folder; `None` when it would leave it.
fn harmless(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    let stays = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (stays && !name.is_empty() && !name.contains('\0')).then_some(path)
}

/// Content codings that the client takes, without those it refuses with `q=0`.
fn accepted_encodings(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|part| {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            let quality = parameters.trim().strip_prefix("q=").map(str::trim);
            let refused = quality
                .and_then(|q| q.parse::<f32>().ok())
                .is_some_and(|q| q <= 0.0);
            (!refused).then(|| name.trim())
        })
        .collect()
}

fn respond(name: &str, file: &File, encoding: Option<&str>, headers: &HeaderMap) -> Response {
    use std::fmt::Write;

    let mut tag = String::from("\"");
    for byte in file.hash.iter().take(16) {
        let written = write!(tag, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
    tag.push('"');
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*");
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.bytes.clone().into_response()
    };
    let answer = response.headers_mut();
    let keep = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(name)),
    );
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    if let Some(encoding) = encoding
        && let Ok(encoding) = HeaderValue::from_str(encoding)
    {
        answer.insert(header::CONTENT_ENCODING, encoding);
    }
    response
}

fn placeholder() -> Response {
    let mut response = PLACEHOLDER.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(folder: &Path, path: &str, pairs: &[(header::HeaderName, &str)]) -> Response {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Assets::Folder(folder.to_owned())
            .answer(&Method::GET, path, &headers)
            .await
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("assets")).unwrap();
        for (name, text) in [
            ("index.html", "<html>"),
            ("assets/app-1a2b.js", "plain"),
            ("assets/app-1a2b.js.br", "brotli"),
            ("assets/app-1a2b.js.gz", "gzip"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_best_encoding_is_sent() {
        let folder = folder();
        for (accept, encoding, body) in [
            ("gzip, deflate, br", Some("br"), "brotli"),
            ("gzip", Some("gzip"), "gzip"),
            ("br;q=0, gzip;q=0.5", Some("gzip"), "gzip"),
            ("", None, "plain"),
        ] {
            let response = get(
                folder.path(),
                "/assets/app-1a2b.js",
                &[(header::ACCEPT_ENCODING, accept)],
            )
            .await;
            let headers = response.headers();
            assert_eq!(
                headers
                    .get(header::CONTENT_ENCODING)
                    .map(|value| value.to_str().unwrap()),
                encoding
            );
            assert_eq!(
                headers[header::CONTENT_TYPE],
                "text/javascript; charset=utf-8"
            );
            assert!(
                headers[header::CACHE_CONTROL]
                    .to_str()
                    .unwrap()
                    .contains("immutable")
            );
            assert_eq!(text(response).await, body);
        }
    }

    #[tokio::test]
    async fn addresses_of_the_console_are_its_page_for_people_only() {
        let folder = folder();
        let page = get(
            folder.path(),
            "/events",
            &[(header::ACCEPT, "text/html,*/*")],
        )
        .await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(text(page).await, "<html>");
        let file = get(folder.path(), "/missing.js", &[(header::ACCEPT, "*/*")]).await;
        assert_eq!(file.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let folder = folder();
        let first = get(folder.path(), "/", &[]).await;
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = get(folder.path(), "/", &[(header::IF_NONE_MATCH, &tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(text(again).await, "");
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_sent() {
        let folder = folder();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        let inner = folder.path().join("assets");
        for path in [
            "/../secret",
            "/..%2fsecret",
            "//etc/passwd",
            "/./../secret",
            "/a/../../secret",
        ] {
            let response = get(&inner, path, &[]).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn without_a_console_people_learn_how_to_build_it() {
        let empty = tempfile::tempdir().unwrap();
        let page = get(empty.path(), "/", &[(header::ACCEPT, "text/html")]).await;
        assert!(text(page).await.contains("npm run build"));
    }
}
