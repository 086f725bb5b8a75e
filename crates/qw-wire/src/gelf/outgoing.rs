//! A record that leaves us, in the words of one that came: what [`super::encode`] and the encoder of the
//! forward protocol write.

use qw_log::Stream;

use crate::{Outgoing, Received, Said};

impl<'a> From<&Outgoing<'a>> for Received<'a> {
    /// The same record; its compose project and service are fields, and [`Outgoing::id`] is left out.
    fn from(record: &Outgoing<'a>) -> Self {
        let container = record.container;
        let compose = [
            ("com.docker.compose.project", &*container.compose_project),
            ("com.docker.compose.service", &*container.compose_service),
        ];
        let compose = compose.into_iter().filter(|(_, value)| !value.is_empty());
        let compose = compose.map(|(name, value)| {
            let json = serde_json::to_string(value).unwrap_or_default();
            (name.into(), json.into())
        });
        let members = record.members().into_iter();
        Self {
            time: Some(record.time),
            severity: record.severity,
            stream: Stream::from_name(record.stream.as_bytes()),
            hostname: record.hostname.into(),
            tag: record.tag.into(),
            container: Said {
                id: (&*container.id).into(),
                name: (&*container.name).into(),
                image: (&*container.image).into(),
                k8s_namespace: (&*container.k8s_namespace).into(),
                k8s_pod: (&*container.k8s_pod).into(),
                ..Said::default()
            },
            text: record.text.as_bytes().into(),
            fields: compose
                .chain(members.map(|(name, value)| (name, value.into())))
                .collect(),
            ..Self::default()
        }
    }
}
