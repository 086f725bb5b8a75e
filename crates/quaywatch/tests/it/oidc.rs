//! Somebody signs in through an OpenID Connect provider that others wrote.

use std::net::{SocketAddr, TcpListener};

use qw_testkit::{
    http::{self, Response},
    oidc::OidcProvider,
};

use crate::server;

const ADA: &str = r#"{"sub":"subject-7","preferred_username":"Ada","groups":["team-shop"]}"#;

/// What `place` asks of the server at `address`: the path with its query.
fn path_at(place: &str, address: SocketAddr) -> &str {
    place
        .strip_prefix(&format!("http://{address}"))
        .unwrap_or_else(|| panic!("`{place}` is not at {address}"))
}

/// The cookie `name` as the browser sends it back.
fn cookie(response: &Response, name: &str) -> String {
    let found = response
        .headers
        .iter()
        .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"))
        .filter_map(|(_, value)| value.split(';').next())
        .find(|pair| pair.starts_with(&format!("{name}=")) && !pair.ends_with('='));
    found
        .unwrap_or_else(|| panic!("no cookie `{name}`"))
        .to_owned()
}

#[test]
fn somebody_signs_in_through_a_provider_and_sees_what_the_group_may_see() {
    let Some(provider) = OidcProvider::start(&["--user-claims", ADA]) else {
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let console = port.local_addr().unwrap();
    drop(port);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "anything\n").unwrap();
    let configuration = format!(
        "inventory: {{docker: false}}\noidc:\n  issuer: http://{}\n  client_id: quaywatch\n  client_secret_file: {}\n  redirect_url: http://{console}/api/auth/oidc/callback\n  roles:\n    - {{value: team-shop, role: analyst, scope: {{namespaces: [shop]}}}}\n",
        provider.address,
        secret.display()
    );
    let quaywatch = server()
        .configuration(&configuration)
        .environment("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", &console.to_string())
        .start();
    for namespace in ["shop", "bank"] {
        let line = crate::falco_line(namespace, 1, "A", "Notice").replace(
            "\"user.name\"",
            &format!("\"k8s.ns.name\":\"{namespace}\",\"user.name\""),
        );
        quaywatch.post_events(&line).unwrap();
    }

    // Without a browser in between: the redirects are followed by hand.
    let begun = http::request(
        console,
        "GET",
        "/api/auth/oidc/login?return_to=/events",
        &[],
        b"",
    )
    .unwrap();
    assert_eq!(begun.status, 303, "{}", begun.text());
    let browser = cookie(&begun, "quaywatch_oidc");
    let form = http::request(
        provider.address,
        "POST",
        path_at(begun.header("location").unwrap(), provider.address),
        &[("content-type", "application/x-www-form-urlencoded")],
        b"sub=subject-7",
    )
    .unwrap();
    let back = form.header("location").unwrap().to_owned();
    let back = path_at(&back, console);

    let signed_in = http::request(console, "GET", back, &[("cookie", &browser)], b"").unwrap();
    assert_eq!(signed_in.status, 303, "{}", signed_in.text());
    assert_eq!(signed_in.header("location"), Some("/events"));
    let session = cookie(&signed_in, "quaywatch_session");

    // What the provider sent counts once, and for the browser that began.
    for headers in [&[][..], &[("cookie", browser.as_str())]] {
        let again = http::request(console, "GET", back, headers, b"").unwrap();
        assert_eq!(again.status, 401, "{}", again.text());
    }
    let get =
        |path: &str| http::request(console, "GET", path, &[("cookie", &session)], b"").unwrap();
    let who = get("/api/session").json();
    assert_eq!(who["username"], "ada", "{who}");
    assert_eq!(who["role"], "analyst", "{who}");
    let events = get("/api/events").json();
    let items = events["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{events}");
    assert_eq!(items[0]["container"]["k8s_namespace"], "shop");
    assert_eq!(get("/api/users").status, 403);
    assert_eq!(get("/api/sources").status, 403);

    // The audit log tells of the sign-in that succeeded and of the one that did not.
    let audit = quaywatch.get("/api/audit?action=session.begin");
    let text = audit.to_string();
    assert!(text.contains("\"ada\""), "{audit}");
    assert!(audit["items"].as_array().unwrap().len() >= 2, "{audit}");
    assert_eq!(quaywatch.get("/api/audit/verify")["whole"], true);
}
