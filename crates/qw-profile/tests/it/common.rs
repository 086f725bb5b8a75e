//! Events made by hand, and a clock that only the test moves.

use std::{sync::Arc, time::Duration};

use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, Timestamp};
use qw_profile::{Deviation, Observation, Options, Profiles};
use serde_json::{Value, json};

pub(crate) const START: i64 = 1_800_000_000;

/// Learns for ten minutes at least, so that tests have few events.
pub(crate) fn options() -> Options {
    Options {
        minimum_time: Duration::from_secs(600),
        minimum_events: 100,
        ..Options::default()
    }
}

pub(crate) struct World {
    pub(crate) profiles: Profiles,
    /// Seconds since the start.
    pub(crate) now: i64,
    pub(crate) container: Arc<ContainerRef>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            profiles: Profiles::new(options),
            now: 0,
            container: container("web", "nginx:1.27"),
        }
    }

    pub(crate) fn key(&self) -> String {
        format!(
            "{}/{}",
            self.container.image_repository, self.container.name
        )
    }

    pub(crate) fn event(&self, fields: &Value) -> Event {
        event(&self.container, self.now, fields)
    }

    pub(crate) fn see(&mut self, fields: &Value) -> Observation {
        let event = self.event(fields);
        self.profiles.observe(&event, event.time)
    }

    pub(crate) fn deviation(&mut self, fields: &Value) -> Deviation {
        match self.see(fields) {
            Observation::Deviation(deviation) => *deviation,
            other => panic!("{other:?} of {fields}"),
        }
    }

    /// Repeats `life`, one event per second, until every branch detects.
    pub(crate) fn live(&mut self, life: &[Value]) {
        for _ in 0..20_000 {
            for fields in life {
                self.now += 1;
                self.see(fields);
            }
            let key = self.key();
            let summary = self.profiles.summary(&key).unwrap();
            if summary.mode() == qw_profile::Mode::Detecting {
                return;
            }
        }
        panic!("never converged: {:?}", self.profiles.list());
    }
}

pub(crate) fn container(name: &str, image: &str) -> Arc<ContainerRef> {
    let (repository, tag) = image.split_once(':').unwrap_or((image, ""));
    Arc::new(ContainerRef {
        id: format!("{name:0<64}").into(),
        name: name.into(),
        image: image.into(),
        image_repository: repository.into(),
        image_tag: tag.into(),
        ..ContainerRef::default()
    })
}

pub(crate) fn event(container: &Arc<ContainerRef>, now: i64, fields: &Value) -> Event {
    Event {
        kind: RecordKind::Event,
        time: Timestamp::from_seconds(START + now),
        source: "syscall".into(),
        rule: "Everything".into(),
        priority: Priority::Debug,
        category: Category::Unknown,
        hostname: "host-1".into(),
        container: Arc::clone(container),
        process_name: fields["proc.name"].as_str().unwrap_or("").into(),
        tags: [].into(),
        output: "".into(),
        output_fields: serde_json::value::to_raw_value(fields).unwrap(),
    }
}

pub(crate) fn open(process: &str, path: &str) -> Value {
    json!({"evt.type": "openat", "proc.name": process, "fd.name": path, "fd.type": "file",
           "evt.arg.flags": "O_RDONLY|O_CLOEXEC"})
}

pub(crate) fn write(process: &str, path: &str) -> Value {
    json!({"evt.type": "openat", "proc.name": process, "fd.name": path, "fd.type": "file",
           "evt.arg.flags": "O_WRONLY|O_CREAT|O_APPEND", "evt.arg.mode": "0644"})
}

pub(crate) fn connect(process: &str, remote: &str) -> Value {
    json!({"evt.type": "connect", "proc.name": process, "fd.type": "ipv4", "fd.l4proto": "tcp",
           "fd.name": format!("172.17.0.2:41234->{remote}")})
}

pub(crate) fn accept(process: &str, client: &str, port: u16) -> Value {
    json!({"evt.type": "accept4", "proc.name": process, "fd.type": "ipv4", "fd.l4proto": "tcp",
           "fd.name": format!("{client}->172.17.0.2:{port}")})
}

pub(crate) fn exec(parent: &str, process: &str, line: &str) -> Value {
    json!({"evt.type": "execve", "proc.name": process, "proc.pname": parent,
           "proc.cmdline": line, "proc.exepath": format!("/usr/bin/{process}"), "user.name": "root"})
}

/// What a web server does all day.
pub(crate) fn web_server() -> Vec<Value> {
    let mut life = vec![
        exec("containerd-shim", "nginx", "nginx -g daemon off;"),
        open("nginx", "/etc/nginx/nginx.conf"),
        open("nginx", "/etc/nginx/conf.d/default.conf"),
        open("nginx", "/etc/passwd"),
        open("nginx", "/usr/lib/libssl.so.3"),
        json!({"evt.type": "bind", "proc.name": "nginx", "fd.name": "0.0.0.0:80", "fd.type": "ipv4"}),
        write("nginx", "/var/log/nginx/access.log"),
        write("nginx", "/var/log/nginx/error.log"),
        connect("nginx", "10.0.3.7:8080"),
    ];
    for page in ["index.html", "about.html", "style.css", "logo.svg"] {
        life.push(accept("nginx", "198.51.100.7:50000", 80));
        life.push(open("nginx", &format!("/usr/share/nginx/html/{page}")));
    }
    life
}
