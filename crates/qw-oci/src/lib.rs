//! A client of OCI registries: manifests, blobs, and artifacts that belong to images.
//!
//! By the distribution specification 1.1. Answers are bounded in time and size; what comes by digest
//! is checked against it. Credentials are those that `docker login`, `podman login` and
//! `skopeo login` have left.

mod challenge;
mod credentials;
mod digest;
mod error;
mod http;
mod model;
mod reference;
mod registry;

pub use self::{
    digest::Digest,
    error::OciError,
    model::{
        Descriptor, EMPTY, EMPTY_TYPE, INDEX_TYPE, MANIFEST_TYPE, MAX_MANIFEST, Manifest,
        media_type_of,
    },
    reference::{Reference, is_tag},
    registry::{Attached, Document, Options, Registry},
};
