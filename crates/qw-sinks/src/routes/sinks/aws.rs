//! What Amazon's services have in common: signatures.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use qw_event::Timestamp;
use qw_wire::cloudwatch::sigv4::{Credentials, Parts, sign};

use super::{http::Beside, session::read};
use crate::{
    receiver::Refusal,
    routes::config::{AwsConfig, ConfigError, RouteConfig},
    secret::Secret,
};

/// Reads region and credentials, so that what is wrong with them is said at the start.
pub(super) fn check(route: &RouteConfig, config: &AwsConfig) -> Result<(), ConfigError> {
    if config.region.is_empty() {
        return Err(route.wrong("to.aws.region", "is wanted, such as `eu-central-1`"));
    }
    if config.access_key_id.is_empty() || config.secret_access_key.is_none() {
        let problem = "and `secret_access_key` are wanted";
        return Err(route.wrong("to.aws.access_key_id", problem));
    }
    for secret in [&config.secret_access_key, &config.session_token] {
        read(secret.as_ref())
            .map_err(|refusal| route.wrong("to.aws.secret_access_key", refusal.text))?;
    }
    Ok(())
}

/// A request, signed at `now`: what [`Poster`](super::http::Poster) sends beside the body. All of
/// `headers` are signed.
pub(super) fn signed(
    config: &AwsConfig,
    service: &str,
    method: &str,
    address: Uri,
    headers: &[(&'static str, &str)],
    body: &[u8],
    now: Timestamp,
) -> Result<Beside, Refusal> {
    let secret = read(config.secret_access_key.as_ref())?;
    let token = read(config.session_token.as_ref())?;
    let credentials = Credentials {
        access_key: &config.access_key_id,
        secret_key: secret.as_ref().map_or("", Secret::reveal),
        session_token: token.as_ref().map(Secret::reveal),
    };
    let host = address
        .authority()
        .map_or("", http::uri::Authority::as_str)
        .to_owned();
    let mut signed: Vec<(&str, &str)> = vec![("host", &host)];
    signed.extend(headers.iter().copied());
    let parts = Parts {
        method,
        path: address.path(),
        query: address.query().unwrap_or_default(),
        headers: &signed,
        body,
    };
    let mut all = HeaderMap::new();
    let added = sign(&parts, &credentials, &config.region, service, now);
    let own = headers.iter().map(|(name, value)| (*name, *value));
    let added = added.iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in own.chain(added) {
        let unsendable =
            |_| Refusal::passing(format!("header `{name}` has a value that cannot be sent"));
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Refusal::passing(format!("`{name}` is no header")))?;
        let mut value = HeaderValue::from_str(value).map_err(unsendable)?;
        value.set_sensitive(true);
        all.insert(name, value);
    }
    Ok(Beside {
        address: Some(address),
        headers: all,
        secrets: [secret, token].into_iter().flatten().collect(),
    })
}
