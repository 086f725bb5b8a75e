//! The client against a real registry, and against one that does what the real one cannot.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect is to end"
)]

mod conforming;
mod real;

use std::{collections::BTreeMap, net::SocketAddr};

use qw_oci::{Descriptor, Digest, EMPTY, EMPTY_TYPE, Manifest, Options, Reference, Registry};

const TYPE: &str = "application/vnd.example.thing.v1+json";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn registry(address: SocketAddr, options: &Options) -> Registry {
    let reference: Reference = format!("{address}/shop/api:1").parse().unwrap();
    Registry::new(&reference, options).unwrap()
}

/// An artifact with `content` that belongs to `subject`: its manifest, and what lists say of it.
fn artifact(subject: &Descriptor, content: &[u8]) -> (Vec<u8>, Descriptor) {
    let annotations: BTreeMap<String, String> = [(
        "n".to_owned(),
        String::from_utf8_lossy(content).into_owned(),
    )]
    .into();
    let layers = vec![Descriptor::of(TYPE, content)];
    let manifest =
        Manifest::artifact(TYPE, layers, Some(subject.clone()), annotations.clone()).to_json();
    let mut listed = Descriptor::of(qw_oci::MANIFEST_TYPE, &manifest);
    listed.artifact_type = Some(TYPE.to_owned());
    listed.annotations = annotations;
    (manifest, listed)
}

/// Brings an artifact to the registry.
async fn attach(
    registry: &Registry,
    subject: &Descriptor,
    content: &[u8],
) -> (qw_oci::Attached, Descriptor) {
    let (manifest, listed) = artifact(subject, content);
    registry.push_blob(EMPTY_TYPE, EMPTY).await.unwrap();
    registry.push_blob(TYPE, content).await.unwrap();
    let attached = registry
        .attach(&manifest, &subject.digest, &listed)
        .await
        .unwrap();
    (attached, listed)
}

/// Digests of what refers to `subject`.
async fn referrers(registry: &Registry, subject: &Descriptor) -> Vec<Digest> {
    let found = registry.referrers(&subject.digest, TYPE).await.unwrap();
    found.into_iter().map(|entry| entry.digest).collect()
}
