//! What a sender says of one line.

use std::borrow::Cow;

use qw_event::Timestamp;
use qw_log::{Severity, Stream};

/// One line, and what its sender says of it. Texts are empty when it does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Received<'a> {
    /// When it was written.
    pub time: Option<Timestamp>,
    /// How grave it is, when the format states it beside the text.
    pub severity: Option<Severity>,
    /// Where the program wrote it to, when the format states it.
    pub stream: Option<Stream>,
    /// Host it comes from.
    pub hostname: Cow<'a, str>,
    /// Docker's tag, syslog's `APP-NAME`, Fluentd's tag.
    pub tag: Cow<'a, str>,
    /// Syslog's `PROCID`.
    pub process_id: Cow<'a, str>,
    /// The container it comes from.
    pub container: Said<'a>,
    /// The line, without its line end.
    pub text: Cow<'a, [u8]>,
    /// Everything else by name, OpenTelemetry's where there is one; each value is JSON (`"a"`, `1`,
    /// `{"b":2}`), in the order of the sender.
    pub fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// It is a piece of a longer line, and the format says which.
    pub piece: Option<Piece<'a>>,
}

/// What a sender says of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// Id, of 12 or 64 hexadecimal digits.
    pub id: Cow<'a, str>,
    /// Name, without the leading `/`.
    pub name: Cow<'a, str>,
    /// Reference of the image.
    pub image: Cow<'a, str>,
    /// Id of the image, `sha256:…`.
    pub image_id: Cow<'a, str>,
    /// Namespace of the pod.
    pub k8s_namespace: Cow<'a, str>,
    /// Name of the pod.
    pub k8s_pod: Cow<'a, str>,
}

/// Which piece of a longer line this is, as Docker's drivers number them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The same for all pieces of a line.
    pub id: Cow<'a, str>,
    /// 1 for the first.
    pub ordinal: u32,
    /// No further piece comes.
    pub is_last: bool,
}
