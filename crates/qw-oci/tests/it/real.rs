//! Debian's registry, with and without TLS and passwords.

use qw_oci::{Attached, OciError, Options};
use qw_testkit::{
    registry::{Access, Registry as Server},
    skip_without,
};

use crate::{attach, block_on, referrers, registry};

fn plain(server: &Server) -> Options {
    Options {
        plain_http: true,
        auth_file: Some(server.auth_file()),
        ..Options::default()
    }
}

#[test]
fn artifacts_are_found_from_their_image() {
    if !Server::is_installed() && skip_without("docker-registry") {
        return;
    }
    let server = Server::start(Access::Open, None);
    let digest = server.push_image("shop/api", "1");
    let registry = registry(server.address(), &plain(&server));
    block_on(async {
        let image = registry.manifest("1").await.unwrap();
        assert_eq!(image.descriptor.digest.as_str(), digest);
        let subject = image.descriptor;
        assert!(referrers(&registry, &subject).await.is_empty());

        let mut expected = Vec::new();
        for content in [b"one", b"two"] {
            let (attached, listed) = attach(&registry, &subject, content).await;
            let tag = digest.replace(':', "-");
            assert_eq!(attached, Attached::Tagged(tag));
            expected.push(listed.digest);
        }
        assert_eq!(referrers(&registry, &subject).await, expected);
        // Once more changes nothing.
        attach(&registry, &subject, b"one").await;
        assert_eq!(referrers(&registry, &subject).await, expected);

        let found = registry.manifest(expected[0].as_str()).await.unwrap();
        let layers = found.manifest.layers.unwrap();
        assert_eq!(&*registry.blob(&layers[0], 3).await.unwrap(), b"one");
        let error = registry.blob(&layers[0], 2).await.unwrap_err();
        assert!(matches!(error, OciError::TooLong { .. }), "{error}");
        let error = registry.manifest("absent").await.unwrap_err();
        assert!(matches!(error, OciError::Absent(_)), "{error}");

        // What lies in the registry is changed behind its back.
        let file = server.file_of(layers[0].digest.as_str());
        std::fs::write(file, "onf").unwrap();
        let error = registry.blob(&layers[0], 3).await.unwrap_err();
        assert!(matches!(error, OciError::Mismatch { .. }), "{error}");
    });
}

#[test]
fn passwords_are_shown_to_whom_they_belong() {
    if !Server::is_installed() && skip_without("docker-registry") {
        return;
    }
    let server = Server::start(Access::Password, None);
    server.push_image("shop/api", "1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let options = Options {
            plain_http: true,
            auth_file: Some(file.clone()),
            ..Options::default()
        };
        let registry = registry(server.address(), &options);
        block_on(async move { registry.manifest("1").await.map(drop) })
    };
    let error = with("{}").unwrap_err();
    assert!(matches!(error, OciError::NoCredentials(_)), "{error}");
    // `robot:wrong`.
    let wrong = format!(
        r#"{{"auths":{{"{}":{{"auth":"cm9ib3Q6d3Jvbmc="}}}}}}"#,
        server.address()
    );
    let error = with(&wrong).unwrap_err();
    assert!(matches!(error, OciError::BadCredentials { .. }), "{error}");
    assert!(error.to_string().contains("`robot`"), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");

    let registry = registry(server.address(), &plain(&server));
    block_on(async {
        let subject = registry.manifest("1").await.unwrap().descriptor;
        let (_, listed) = attach(&registry, &subject, b"one").await;
        assert_eq!(referrers(&registry, &subject).await, [listed.digest]);
    });
}

#[test]
fn plain_http_has_to_be_asked_for_and_tls_is_checked() {
    if !Server::is_installed() && skip_without("docker-registry") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [own, other] = ["127.0.0.1", "other.example"].map(|host| {
        let certified = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let path = folder.path().join(format!("{host}.pem"));
        std::fs::write(&path, certified.cert.pem()).unwrap();
        (path, certified)
    });
    let (pem, key) = (own.1.cert.pem(), own.1.signing_key.serialize_pem());
    let open = Server::start(Access::Open, None);
    let secure = Server::start(Access::Open, Some((&pem, &key)));
    secure.push_image("shop/api", "1");

    let ask = |server: &Server, plain_http: bool, ca_file: Option<&std::path::Path>| {
        let options = Options {
            plain_http,
            ca_file: ca_file.map(Into::into),
            auth_file: Some(server.auth_file()),
        };
        let registry = registry(server.address(), &options);
        block_on(async move { registry.manifest("1").await.map(drop) })
    };
    let error = ask(&open, false, None).unwrap_err();
    assert!(matches!(error, OciError::Plain(_)), "{error}");
    let error = ask(&open, true, None).unwrap_err();
    assert!(matches!(error, OciError::Absent(_)), "{error}");

    ask(&secure, false, Some(&own.0)).unwrap();
    for authority in [None, Some(other.0.as_path())] {
        let error = ask(&secure, false, authority).unwrap_err();
        assert!(matches!(error, OciError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let error = ask(&secure, true, None).unwrap_err();
    assert!(error.to_string().contains("400"), "{error}");
}
