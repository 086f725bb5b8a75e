//! Somebody signs in through an OpenID Connect provider that others wrote.

use std::net::{SocketAddr, TcpListener};

use qw_testkit::{
    http::{self, Response},
    oidc::OidcProvider,
    quaywatch::Quaywatch,
};
use serde_json::json;
use tempfile::TempDir;

use crate::server;

/// What a browser says it takes.
const PAGE: (&str, &str) = ("accept", "text/html,*/*");

const JSON: (&str, &str) = ("content-type", "application/json");

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

/// A server that lets people in through a provider, and both ends of a sign-in.
struct Company {
    provider: OidcProvider,
    quaywatch: Quaywatch,
    _folder: TempDir,
}

const RULES: &str = "  roles:
    - {value: team-shop, role: analyst, scope: {namespaces: [shop]}}
    - {value: platform, role: viewer}
";

impl Company {
    /// The names of all users.
    fn users(&self) -> Vec<String> {
        let users = self.quaywatch.get("/api/users");
        let users = users["items"].as_array().unwrap().iter();
        users
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    }

    /// `None` when the provider is not installed. `options` are further lines below `oidc`.
    fn start(provider: &[&str], options: &str) -> Option<Self> {
        let provider = OidcProvider::start(provider)?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let console = port.local_addr().unwrap();
        drop(port);
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "anything\n").unwrap();
        let configuration = format!(
            "inventory: {{docker: false}}\noidc:\n  issuer: http://{}\n  client_id: quaywatch\n  client_secret_file: {}\n  redirect_url: http://{console}/api/auth/oidc/callback\n{options}",
            provider.address,
            secret.display()
        );
        let quaywatch = server()
            .configuration(&configuration)
            .environment("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", &console.to_string())
            .start();
        Some(Self {
            provider,
            quaywatch,
            _folder: folder,
        })
    }

    /// A request to the console without credentials.
    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        http::request(self.quaywatch.console, "GET", path, headers, b"").unwrap()
    }

    fn get(&self, path: &str, session: &str) -> Response {
        self.ask(path, &[("cookie", session)])
    }

    /// Begins a sign-in as a browser does; the cookie, and the path with which it comes back from the
    /// provider, where `subject` has signed in. Without a browser the redirects are followed by hand.
    fn begin(&self, subject: &str) -> (String, String) {
        let begun = self.ask("/api/auth/oidc/login?return_to=/events", &[PAGE]);
        assert_eq!(begun.status, 303, "{}", begun.text());
        let browser = cookie(&begun, "quaywatch_oidc");
        let form = http::request(
            self.provider.address,
            "POST",
            path_at(begun.header("location").unwrap(), self.provider.address),
            &[("content-type", "application/x-www-form-urlencoded")],
            format!("sub={subject}").as_bytes(),
        )
        .unwrap();
        let back = form.header("location").unwrap();
        (browser, path_at(back, self.quaywatch.console).to_owned())
    }

    /// Comes back from the provider; where the browser is sent then.
    fn finish(&self, browser: &str, back: &str) -> (String, Response) {
        let answer = self.ask(back, &[("cookie", browser), PAGE]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        (answer.header("location").unwrap().to_owned(), answer)
    }

    /// The cookie of a session of `subject`.
    fn sign_in(&self, subject: &str) -> String {
        let (browser, back) = self.begin(subject);
        let (place, answer) = self.finish(&browser, &back);
        assert_eq!(place, "/events");
        cookie(&answer, "quaywatch_session")
    }

    /// Where somebody ends who is not let in.
    fn refused(&self, subject: &str) -> String {
        let (browser, back) = self.begin(subject);
        self.finish(&browser, &back).0
    }

    /// Changes what the provider says of `subject`.
    fn change(&self, subject: &str, claims: &str) {
        let path = format!("/users/{subject}");
        let json = [JSON];
        let claims = claims.as_bytes();
        let done = http::request(self.provider.address, "PUT", &path, &json, claims).unwrap();
        assert_eq!(done.status, 204, "{}", done.text());
    }
}

#[test]
fn somebody_signs_in_through_a_provider_and_sees_what_the_group_may_see() {
    let Some(company) = Company::start(&["--user-claims", ADA], RULES) else {
        return;
    };
    for namespace in ["shop", "bank"] {
        let line = crate::falco_line(namespace, 1, "A", "Notice").replace(
            "\"user.name\"",
            &format!("\"k8s.ns.name\":\"{namespace}\",\"user.name\""),
        );
        company.quaywatch.post_events(&line).unwrap();
    }
    let (browser, back) = company.begin("subject-7");
    let (place, signed_in) = company.finish(&browser, &back);
    assert_eq!(place, "/events");
    let session = cookie(&signed_in, "quaywatch_session");

    // What the provider sent counts once, and for the browser that began.
    for headers in [&[][..], &[("cookie", browser.as_str())]] {
        let again = company.ask(&back, headers);
        assert_eq!(again.status, 401, "{}", again.text());
    }
    let get = |path: &str| company.get(path, &session);
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
    let quaywatch = &company.quaywatch;
    let audit = quaywatch.get("/api/audit?action=session.begin");
    let text = audit.to_string();
    assert!(text.contains("\"ada\""), "{audit}");
    assert!(audit["items"].as_array().unwrap().len() >= 2, "{audit}");
    assert_eq!(quaywatch.get("/api/audit/verify")["whole"], true);
}

#[test]
fn roles_follow_the_provider_and_strangers_stay_out() {
    let bob = r#"{"sub":"subject-8","preferred_username":"bob","groups":["sales"]}"#;
    let users = ["--user-claims", ADA, "--user-claims", bob];
    let Some(mut company) = Company::start(&users, RULES) else {
        return;
    };
    let first = company.sign_in("subject-7");
    let role = |session: &str| company.get("/api/session", session).json()["role"].clone();
    assert_eq!(role(&first), "analyst");
    assert_eq!(company.get("/api/sources", &first).status, 403);

    // Another group at the next sign-in, which counts for the session there was before, too.
    company.change(
        "subject-7",
        r#"{"preferred_username":"ada2","groups":["platform"]}"#,
    );
    let second = company.sign_in("subject-7");
    for session in [&first, &second] {
        let who = company.get("/api/session", session).json();
        assert_eq!(
            (&who["username"], &who["role"]),
            (&"ada".into(), &"viewer".into())
        );
        assert_eq!(company.get("/api/sources", session).status, 200);
        assert_eq!(company.get("/api/users/assignable", session).status, 403);
    }

    // Nobody comes in whom no rule fits, whose state is another's, or who is disabled here.
    assert_eq!(company.refused("subject-8"), "/login?error=no_role");
    let (browser, back) = company.begin("subject-7");
    let forged = back.replace("state=", "state=x");
    assert_eq!(company.finish(&browser, &forged).0, "/login?error=attempt");
    let change = |body: &str| {
        let body = body.as_bytes();
        company
            .quaywatch
            .request("PATCH", "/api/users/ada", &[JSON], body)
    };
    assert_eq!(change(r#"{"disabled":true}"#).status, 200);
    assert_eq!(company.get("/api/session", &second).status, 401);
    assert_eq!(company.refused("subject-7"), "/login?error=not_here");
    assert_eq!(change(r#"{"disabled":false}"#).status, 200);

    // Signing out ends the session here, and says where it ends at the provider.
    let third = company.sign_in("subject-7");
    let who = company.get("/api/session", &third).json();
    let place = who["sign_out_url"].as_str().unwrap();
    assert!(
        path_at(place, company.provider.address).starts_with("/oauth2/end_session?"),
        "{place}"
    );
    let csrf = who["csrf_token"].as_str().unwrap();
    let proof = [("cookie", third.as_str()), ("x-quaywatch-csrf", csrf)];
    let console = company.quaywatch.console;
    let ended = http::request(console, "DELETE", "/api/session", &proof, b"").unwrap();
    assert_eq!(ended.status, 204, "{}", ended.text());
    assert_eq!(company.get("/api/session", &third).status, 401);

    // Without its provider nobody comes back from there; a password still opens.
    let (browser, back) = company.begin("subject-7");
    let made = company.quaywatch.request(
        "POST",
        "/api/users",
        &[JSON],
        br#"{"username":"local","password":"tide-and-lantern","role":"viewer"}"#,
    );
    assert_eq!(made.status, 201, "{}", made.text());
    company.provider.stop();
    assert_eq!(company.finish(&browser, &back).0, "/login?error=code");
    let json = [JSON];
    let body = br#"{"username":"local","password":"tide-and-lantern"}"#;
    let session = http::request(console, "POST", "/api/session", &json, body).unwrap();
    assert_eq!(session.status, 200, "{}", session.text());

    let audit = company.quaywatch.get("/api/audit?outcome=refused");
    let details: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["detail"].as_str())
        .collect();
    for said in [
        "no role is given",
        "not known any more",
        "`ada` is disabled",
        "did not exchange the code",
    ] {
        assert!(
            details.iter().any(|it| it.contains(said)),
            "{said}: {details:?}"
        );
    }
}

/// The provider puts what is said of somebody over what it would say itself.
#[test]
fn tokens_that_prove_nothing_let_nobody_in() {
    let Some(company) = Company::start(&["--user-claims", ADA], RULES) else {
        return;
    };
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    for (claim, value, said) in [
        ("exp", json!(now - 600), "expired"),
        ("iat", json!(now + 600), "issued in the future"),
        ("iat", json!(now - 600), "issued before the sign-in began"),
        ("nonce", json!("another"), "nonce"),
        ("aud", json!(["somebody-else"]), "audience"),
        ("iss", json!("http://127.0.0.1:1"), "issuer"),
        ("azp", json!("somebody-else"), "another client"),
    ] {
        let mut claims = json!({ "preferred_username": "Ada", "groups": ["team-shop"] });
        claims[claim] = value;
        company.change("subject-7", &claims.to_string());
        assert_eq!(
            company.refused("subject-7"),
            "/login?error=token",
            "{claim}"
        );
        let audit = company.quaywatch.get("/api/audit?outcome=refused&limit=1");
        let detail = audit["items"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{claim}: {detail}");
    }
    assert_eq!(company.users(), ["admin"]);
}

#[test]
fn a_clock_may_be_off_by_so_much_and_unknown_people_may_be_kept_out() {
    let closed = format!("{RULES}  clock_skew_seconds: 600\n  create_users: false\n");
    let Some(company) = Company::start(&["--user-claims", ADA], &closed) else {
        return;
    };
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let ended = now.as_secs() - 120;
    let claims = json!({ "preferred_username": "Ada", "groups": ["team-shop"], "exp": ended });
    company.change("subject-7", &claims.to_string());
    // The token is taken; the person is not known here.
    assert_eq!(company.refused("subject-7"), "/login?error=not_here");
    let audit = company.quaywatch.get("/api/audit?outcome=refused");
    let detail = audit["items"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("nobody here knows `ada`"), "{detail}");
    assert_eq!(company.users(), ["admin"]);
}
