use proptest::prelude::*;

use super::*;

type Headers = Vec<(String, String)>;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EXAMPLE: Credentials<'_> = Credentials {
    access_key: "AKIDEXAMPLE",
    secret_key: SECRET,
    session_token: None,
};

fn time() -> Timestamp {
    "2015-08-30T12:36:00Z".parse().unwrap()
}

fn authorization(signed: &[(String, String)]) -> &str {
    let found = signed.iter().find(|(name, _)| name == "authorization");
    &found.unwrap().1
}

/// A request of the AWS SigV4 test suite: host `example.amazonaws.com`, service `service`.
fn suite(method: &str, path: &str, query: &str) -> String {
    let parts = Parts {
        method,
        path,
        query,
        headers: &[("Host", "example.amazonaws.com")],
        body: b"",
    };
    let signed = sign(&parts, &EXAMPLE, "us-east-1", "service", time());
    authorization(&signed)
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn the_documented_example_of_iam() {
    let parts = Parts {
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &[
            ("Host", "iam.amazonaws.com"),
            (
                "Content-Type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
        ],
        body: b"",
    };
    let signed = sign(&parts, &EXAMPLE, "us-east-1", "iam", time());
    assert_eq!(
        signed[0],
        ("x-amz-date".to_owned(), "20150830T123600Z".to_owned())
    );
    assert_eq!(
        authorization(&signed),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
    let key = signing_key(SECRET, "20150830", "us-east-1", "iam");
    assert_eq!(
        hexadecimal(&key),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
}

#[test]
fn the_test_suite_of_aws() {
    for (method, path, query, expected) in [
        (
            "GET",
            "/",
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "/",
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            "/",
            "Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            "/ሴ",
            "",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            "GET",
            "/example space/",
            "",
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
        ),
        (
            "GET",
            "/foo/bar/../..",
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
    ] {
        assert_eq!(
            suite(method, path, query),
            expected,
            "{method} {path}?{query}"
        );
    }
}

#[test]
fn the_documented_example_of_s3() {
    let parts = Parts {
        method: "GET",
        path: "/test.txt",
        query: "",
        headers: &[
            ("Host", "examplebucket.s3.amazonaws.com"),
            ("Range", "bytes=0-9"),
        ],
        body: b"",
    };
    let credentials = Credentials {
        access_key: "AKIAIOSFODNN7EXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        session_token: None,
    };
    let time = "2013-05-24T00:00:00Z".parse().unwrap();
    let signed = sign(&parts, &credentials, "us-east-1", "s3", time);
    assert!(
        authorization(&signed)
            .ends_with("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        "{signed:?}"
    );
}

/// What a client of CloudWatch sends.
fn signed_request(session_token: Option<&str>) -> Vec<(String, String)> {
    let mut headers = vec![
        ("Host".to_owned(), "logs.local:8080".to_owned()),
        (
            "X-Amz-Target".to_owned(),
            "Logs_20140328.PutLogEvents".to_owned(),
        ),
        (
            "Content-Type".to_owned(),
            "application/x-amz-json-1.1".to_owned(),
        ),
    ];
    let borrowed: Vec<_> = headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let parts = Parts {
        method: "POST",
        path: "/",
        query: "",
        headers: &borrowed,
        body: b"{}",
    };
    let credentials = Credentials {
        session_token,
        ..EXAMPLE
    };
    let added = sign(&parts, &credentials, "eu-central-1", "logs", time());
    headers.extend(added);
    headers.push(("Accept-Encoding".to_owned(), "gzip".to_owned()));
    headers
}

fn verify_at(
    headers: &[(String, String)],
    body: &[u8],
    now: Timestamp,
) -> Result<Signed, SignatureFault> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let parts = Parts {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body,
    };
    let secret_of = |key: &str| (key == "AKIDEXAMPLE").then(|| SECRET.to_owned());
    verify(&parts, &secret_of, now)
}

#[test]
fn what_is_signed_is_verified() {
    for token in [None, Some("temporary")] {
        let signed = verify_at(&signed_request(token), b"{}", time()).unwrap();
        assert_eq!(
            signed,
            Signed {
                access_key: "AKIDEXAMPLE".to_owned(),
                region: "eu-central-1".to_owned(),
                service: "logs".to_owned(),
                time: time(),
            }
        );
    }
}

#[test]
fn forgeries_are_refused_with_the_reason() {
    let check = |change: &dyn Fn(&mut Headers), expected: SignatureFault| {
        let mut headers = signed_request(None);
        change(&mut headers);
        assert_eq!(verify_at(&headers, b"{}", time()), Err(expected));
    };
    let replace = |name: &'static str, from: &'static str, to: &'static str| {
        move |headers: &mut Vec<(String, String)>| {
            for (known, value) in headers {
                if known.eq_ignore_ascii_case(name) {
                    *value = value.replace(from, to);
                }
            }
        }
    };
    let without = |name: &'static str| {
        move |headers: &mut Vec<(String, String)>| {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        }
    };
    check(&without("authorization"), SignatureFault::Missing);
    check(&without("x-amz-date"), SignatureFault::Date);
    check(&without("content-type"), SignatureFault::Headers);
    check(
        &replace("authorization", "AWS4-HMAC-SHA256 ", "Bearer "),
        SignatureFault::Malformed,
    );
    check(
        &replace("authorization", "aws4_request", "x"),
        SignatureFault::Malformed,
    );
    check(
        &replace("authorization", "host;", ""),
        SignatureFault::Headers,
    );
    check(
        &replace("authorization", ";x-amz-target", ""),
        SignatureFault::Headers,
    );
    check(
        &replace("authorization", "/20150830/", "/20150831/"),
        SignatureFault::Date,
    );
    check(
        &replace("authorization", "AKIDEXAMPLE", "AKIDOTHER"),
        SignatureFault::UnknownKey,
    );
    check(
        &replace("authorization", "eu-central-1", "eu-central-2"),
        SignatureFault::Mismatch,
    );
    check(
        &replace("authorization", "Signature=", "Signature=0"),
        SignatureFault::Mismatch,
    );
    check(
        &replace("x-amz-target", "Put", "Get"),
        SignatureFault::Mismatch,
    );
    check(&replace("x-amz-date", "Z", ""), SignatureFault::Date);
    check(
        &|headers| headers.push(("X-Amz-Content-Sha256".to_owned(), "0".to_owned())),
        SignatureFault::Headers,
    );
    let headers = signed_request(None);
    assert_eq!(
        verify_at(&headers, b"{ }", time()),
        Err(SignatureFault::Mismatch)
    );
    for (seconds, is_fine) in [(-901, false), (-900, true), (900, true), (901, false)] {
        let now = Timestamp::from_seconds(time().as_seconds() + seconds);
        let expected = if is_fine {
            None
        } else {
            Some(SignatureFault::Skew)
        };
        assert_eq!(verify_at(&headers, b"{}", now).err(), expected, "{seconds}");
    }
    assert_eq!(
        SignatureFault::Skew.exception(),
        Exception::InvalidSignature
    );
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(authorization in "(AWS4-HMAC-SHA256 )?[A-Za-z0-9/=,; é]{0,120}", date in "[0-9TZé]{0,18}") {
        let headers = [
            ("authorization".to_owned(), authorization),
            ("x-amz-date".to_owned(), date),
            ("host".to_owned(), "h".to_owned()),
        ];
        prop_assert!(verify_at(&headers, b"", time()).is_err());
    }

    #[test]
    fn any_request_is_verified(path in "/[\\PC]{0,20}", query in "[\\PC]{0,20}", value in "[ -~]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..50)) {
        let plain = [("Host", "h"), ("X-Other", &*value), ("x-other", "b")];
        let parts = Parts { method: "PUT", path: &path, query: &query, headers: &plain, body: &body };
        for service in ["logs", "s3"] {
            let added = sign(&parts, &EXAMPLE, "r", service, time());
            let mut headers = plain.to_vec();
            headers.extend(added.iter().map(|(name, value)| (&**name, &**value)));
            let parts = Parts { headers: &headers, ..parts };
            prop_assert!(verify(&parts, &|_| Some(SECRET.to_owned()), time()).is_ok());
            prop_assert_eq!(
                verify(&parts, &|_| Some("other".to_owned()), time()),
                Err(SignatureFault::Mismatch)
            );
        }
    }
}
