//! Every kind of receiver at once, with a time in which none listens and Quaywatch is killed.

use std::{collections::BTreeMap, path::Path, sync::atomic::Ordering::Relaxed, time::Duration};

use qw_testkit::{
    alertmanager::Alertmanager,
    mail::{MailServer, Protection},
    quaywatch::Quaywatch,
    rsyslog::{Rsyslog, Transport},
    skip_without, wait_for,
};
use serde_json::{Value, json};

use crate::{
    alerts::{Hook, event, post, send},
    server,
};

/// Pauses between attempts grow up to a minute.
const LIMIT: Duration = Duration::from_secs(240);

/// Sinks that have a place in the history; Alertmanager is told what is open, again and again.
const WITH_A_PLACE: [&str; 4] = ["hook", "plain", "secure", "mail"];

/// Everybody who is told, and what the webhook has heard.
struct Receivers {
    hook: Hook,
    heard_by_hook: Vec<Value>,
    manager: Alertmanager,
    plain: Rsyslog,
    secure: Rsyslog,
    mail: MailServer,
}

impl Receivers {
    fn start(folder: &Path) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = certified.cert.pem();
        let key = certified.signing_key.serialize_pem();
        std::fs::write(folder.join("ca.pem"), &certificate).unwrap();
        Self {
            hook: Hook::open(),
            heard_by_hook: Vec::new(),
            manager: Alertmanager::start(),
            plain: Rsyslog::start(Transport::Tcp),
            secure: Rsyslog::start(Transport::Tls {
                authority: certificate.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            mail: MailServer::start(Protection::Starttls(certificate, key)),
        }
    }

    fn configuration(&self, folder: &Path) -> String {
        let tls = json!({ "ca_file": folder.join("ca.pem") });
        let body = "{\"rule\": {{ alert.rule }}, \"test\": {{ test }}, \
                    \"number\": {{ change.sequence }}}";
        let sinks = json!([
            { "name": "hook", "to": {
                "type": "webhook", "url": format!("http://{}/", self.hook.address), "body": body,
            } },
            { "name": "manager", "to": {
                "type": "alertmanager", "urls": [format!("http://{}", self.manager.address())],
            } },
            { "name": "plain", "to": {
                "type": "syslog", "address": self.plain.address().to_string(),
            } },
            { "name": "secure", "to": {
                "type": "syslog", "address": self.secure.address().to_string(),
                "transport": "tls", "tls": tls,
            } },
            { "name": "mail", "at_most": { "messages": 0 }, "to": {
                "type": "smtp", "host": "127.0.0.1", "port": self.mail.address().port(), "tls": tls,
                "username": "quaywatch", "password": { "file": folder.join("password") },
                "sender": "quaywatch@example.org", "recipients": ["anna@example.org"],
            } },
        ]);
        json!({ "inventory": { "docker": false }, "notifications": { "sinks": sinks } }).to_string()
    }

    /// How often each receiver has heard of `word`.
    fn heard(&mut self, word: &str) -> BTreeMap<&'static str, usize> {
        self.heard_by_hook.extend(self.hook.bodies.try_iter());
        let count = |texts: Vec<String>| texts.iter().filter(|text| text.contains(word)).count();
        let texts = |values: &[Value]| values.iter().map(Value::to_string).collect();
        [
            ("hook", count(texts(&self.heard_by_hook))),
            ("manager", count(texts(&self.manager.alerts()))),
            ("plain", count(self.plain.received())),
            ("secure", count(self.secure.received())),
            ("mail", count(texts(&self.mail.received()))),
        ]
        .into()
    }

    #[track_caller]
    fn wait_until_heard(&mut self, word: &str) -> BTreeMap<&'static str, usize> {
        let mut heard = BTreeMap::new();
        wait_for(word, LIMIT, || {
            heard = self.heard(word);
            heard.values().all(|count| *count > 0).then_some(())
        });
        heard
    }

    fn leave(&mut self) {
        self.hook.busy.store(true, Relaxed);
        self.manager.kill();
        self.plain.stop();
        self.secure.stop();
        self.mail.kill();
    }

    fn come_back(&mut self) {
        self.hook.busy.store(false, Relaxed);
        self.manager.launch();
        self.plain.launch();
        self.secure.launch();
        self.mail.launch();
    }
}

fn lag(quaywatch: &Quaywatch, sink: &str) -> u64 {
    quaywatch.metric("quaywatch_notification_lag", &format!("sink=\"{sink}\""))
}

#[test]
fn every_receiver_is_told_what_happened_while_it_was_away() {
    for (part, is_there) in [
        ("prometheus-alertmanager", Alertmanager::is_installed()),
        ("rsyslog-gnutls", Rsyslog::is_installed(true)),
        ("python3-aiosmtpd", MailServer::is_installed()),
    ] {
        if !is_there && skip_without(part) {
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hunter2hunter2\n").unwrap();
    let mut receivers = Receivers::start(folder.path());
    let configuration = receivers.configuration(folder.path());
    let data = folder.path().join("data");
    let start = || {
        server()
            .data_dir(&data)
            .configuration(&configuration)
            .start()
    };
    let mut quaywatch = start();

    for sink in ["hook", "manager", "plain", "secure", "mail"] {
        let path = format!("/api/notifications/{sink}/test");
        let answer = send(&quaywatch, "POST", &path, &json!({}));
        assert_eq!(answer.json()["ok"], true, "{sink}: {}", answer.text());
    }
    let raise = |quaywatch: &Quaywatch, rule: &str| {
        post(quaywatch, &[event("web", rule, "Critical", &json!({}))]);
    };
    raise(&quaywatch, "Firstly");
    receivers.wait_until_heard("Firstly");
    // What was heard is noted before everybody leaves, so that it is not told again.
    wait_for("all is noted", LIMIT, || {
        let is_noted = |sink: &&str| lag(&quaywatch, sink) == 0;
        WITH_A_PLACE.iter().all(is_noted).then_some(())
    });

    receivers.leave();
    raise(&quaywatch, "Secondly");
    raise(&quaywatch, "Thirdly");
    for sink in WITH_A_PLACE {
        wait_for(sink, LIMIT, || {
            let label = format!("sink=\"{sink}\",outcome=\"retried\"");
            let retried = quaywatch.metric("quaywatch_notifications_total", &label);
            (retried > 0 && lag(&quaywatch, sink) == 2).then_some(())
        });
    }
    quaywatch.kill();
    receivers.come_back();
    let quaywatch = start();
    for word in ["Secondly", "Thirdly"] {
        let heard = receivers.wait_until_heard(word);
        // Every attempt before had told nobody, so that what may come twice comes once here.
        assert!(heard.values().all(|count| *count == 1), "{word}: {heard:?}");
    }
    wait_for("nothing to wait", LIMIT, || {
        let list = quaywatch.get("/api/notifications");
        let sinks = list["items"].as_array()?;
        let is_quiet = |sink: &Value| sink["failed"] == 0 && sink["lag"] == 0;
        sinks.iter().all(is_quiet).then_some(())
    });
    let first = receivers.heard("Firstly");
    assert!(
        WITH_A_PLACE.iter().all(|sink| first[sink] == 1),
        "nothing is told again after a restart: {first:?}"
    );
    let told = receivers.heard_by_hook.iter();
    let numbers: Vec<u64> = told
        .filter(|body| body["test"] == false)
        .filter_map(|body| body["number"].as_u64())
        .collect();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "each has its number in the history: {numbers:?}"
    );
}
