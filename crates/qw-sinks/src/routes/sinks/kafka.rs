//! Kafka, and what speaks as it does: acknowledged by all replicas that are in step.
//!
//! A record's key is the id of its container, and the key chooses the partition as Kafka's own clients
//! choose it: what comes from one container stays in order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chrono::DateTime;
use qw_event::Timestamp;
use rskafka::{
    BackoffConfig,
    client::{
        Client, ClientBuilder, Credentials, SaslConfig,
        error::{Error, ProtocolError},
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record as Message,
};

use super::{line::LineWriter, session::read, stream::host_of};
use crate::{
    receiver::{Refusal, chain},
    routes::{
        config::{ConfigError, KafkaCompression, KafkaConfig, KafkaMechanism, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
    secret::{Secret, redacted},
    tls,
};

/// Longest name of a topic, in characters, as Kafka says.
const MAX_NAME: usize = 249;

/// Most partitions that are spoken to, before connections are forgotten.
const MAX_PARTITIONS: usize = 10_000;

/// Produces to one cluster.
pub(crate) struct Kafka {
    config: KafkaConfig,
    tls: Option<Arc<rustls::ClientConfig>>,
    lines: LineWriter,
    open: Option<Open>,
}

/// A cluster that has been reached.
struct Open {
    client: Client,
    /// Partitions of each topic.
    topics: HashMap<String, Vec<i32>>,
    partitions: HashMap<(String, i32), PartitionClient>,
}

/// Messages of one partition, and the places of their records.
type Group = Vec<(usize, Message)>;

impl Kafka {
    /// Reads addresses and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &KafkaConfig) -> Result<Self, ConfigError> {
        if config.brokers.is_empty() || config.brokers.len() > 100 {
            return Err(route.wrong("to.brokers", "names 1 to 100 brokers"));
        }
        for broker in &config.brokers {
            host_of(route, broker)?;
        }
        if config.topic.trim().is_empty() {
            return Err(route.wrong("to.topic", "is empty"));
        }
        if config.username.is_some() != config.password.is_some() {
            return Err(route.wrong("to.username", "and `password` go together"));
        }
        read(config.password.as_ref())
            .map_err(|refusal| route.wrong("to.password", refusal.text))?;
        let tls = if config.encrypted {
            let client =
                tls::client(&config.tls).map_err(|problem| route.wrong("to.tls", problem))?;
            Some(Arc::new(client))
        } else {
            None
        };
        Ok(Self {
            config: config.clone(),
            tls,
            lines: LineWriter::new(),
            open: None,
        })
    }

    fn names(&self) -> String {
        format!("kafka://{}", self.config.brokers.join(","))
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.config.timeout_seconds))
    }

    fn password(&self) -> Result<Option<Secret>, Refusal> {
        read(self.config.password.as_ref())
    }

    /// `error` as a refusal without secrets.
    fn refusal(&self, doing: &str, error: &Error) -> Refusal {
        let secrets: Vec<Secret> = self.password().ok().flatten().into_iter().collect();
        let text = redacted(&chain(error), &secrets);
        Refusal::passing(format!("`{}` {doing}: {text}", self.names()))
    }

    async fn connect(&self) -> Result<Open, Refusal> {
        let mut builder = ClientBuilder::new(self.config.brokers.clone())
            .client_id("quaywatch")
            .max_message_size(16 << 20)
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                // What lasts longer is the route's to repeat.
                deadline: Some(self.timeout()),
                ..BackoffConfig::default()
            });
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(Arc::clone(tls));
        }
        if let (Some(user), Some(password)) = (&self.config.username, self.password()?) {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            builder = builder.sasl_config(match self.config.mechanism {
                KafkaMechanism::Plain => SaslConfig::Plain(credentials),
                KafkaMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                KafkaMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            });
        }
        let client = builder
            .build()
            .await
            .map_err(|error| self.refusal("cannot be reached", &error))?;
        Ok(Open {
            client,
            topics: HashMap::new(),
            partitions: HashMap::new(),
        })
    }

    /// Learns the partitions of `wanted`.
    async fn look_up(&self, open: &mut Open, wanted: &BTreeSet<String>) -> Result<(), Refusal> {
        if wanted.iter().all(|topic| open.topics.contains_key(topic)) {
            return Ok(());
        }
        let all = open
            .client
            .list_topics()
            .await
            .map_err(|error| self.refusal("does not tell its topics", &error))?;
        open.topics = all
            .into_iter()
            .map(|topic| (topic.name, topic.partitions.into_iter().collect()))
            .filter(|(_, partitions): &(_, Vec<i32>)| !partitions.is_empty())
            .collect();
        match wanted
            .iter()
            .find(|topic| !open.topics.contains_key(*topic))
        {
            None => Ok(()),
            Some(topic) => Err(Refusal::passing(format!(
                "`{}` has no topic `{topic}`; it has to be made there",
                self.names()
            ))),
        }
    }

    /// Produces `group`, in halves where it is too large; what came of it goes into `delivered`.
    async fn produce(&self, partition: &PartitionClient, group: Group, delivered: &mut Delivered) {
        let mut pending = vec![group];
        while let Some(mut group) = pending.pop() {
            let messages: Vec<Message> = group.iter().map(|(_, message)| message.clone()).collect();
            let bytes: usize = messages.iter().map(Message::approximate_size).sum();
            let compression = match self.config.compression {
                KafkaCompression::None => Compression::NoCompression,
                KafkaCompression::Gzip => Compression::Gzip,
                KafkaCompression::Snappy => Compression::Snappy,
            };
            match partition.produce(messages, compression).await {
                Ok(_) => delivered.bytes += bytes as u64,
                Err(error) if is_to_blame(&error) => {
                    if group.len() > 1 {
                        let second = group.split_off(group.len() / 2);
                        pending.push(second);
                        pending.push(group);
                    } else {
                        let reason = self.refusal("refuses it", &error).text;
                        let refused = group.into_iter();
                        delivered
                            .refused
                            .extend(refused.map(|(place, _)| (place, reason.clone())));
                    }
                }
                Err(error) => {
                    delivered.why_again = self.refusal("does not take records", &error).text;
                    let again = std::iter::once(group).chain(pending.drain(..));
                    let again = again.flatten().map(|(place, _)| place);
                    delivered.again.extend(again);
                }
            }
        }
    }

    async fn hand_on(&mut self, part: Part<'_>, open: &mut Open) -> Result<Delivered, Undelivered> {
        let mut groups: BTreeMap<(String, i32), Group> = BTreeMap::new();
        let mut records = Vec::with_capacity(part.len());
        let mut wanted = BTreeSet::new();
        for record in part.records() {
            let topic = topic(record.tag);
            wanted.insert(topic.clone());
            records.push((topic, record));
        }
        self.look_up(open, &wanted).await?;
        for (place, (topic, record)) in records.into_iter().enumerate() {
            let mut payload = Vec::new();
            self.lines
                .payload(&record, self.config.format, &mut payload);
            let container = record.container;
            let key = if container.id.is_empty() {
                container.display_name()
            } else {
                &container.id
            };
            let partitions = open.topics.get(&topic).map_or(&[][..], Vec::as_slice);
            let partition = choose(key.as_bytes(), partitions);
            let message = Message {
                key: Some(key.as_bytes().to_vec()),
                value: Some(payload),
                headers: BTreeMap::new(),
                timestamp: DateTime::from_timestamp_nanos(record.outgoing.time.as_nanos()),
            };
            let group = groups.entry((topic, partition)).or_default();
            group.push((place, message));
        }
        let mut delivered = Delivered::default();
        for (name, group) in groups {
            if !delivered.again.is_empty() {
                delivered.again.extend(group.iter().map(|(place, _)| place));
                continue;
            }
            if open.partitions.len() >= MAX_PARTITIONS {
                open.partitions.clear();
            }
            if !open.partitions.contains_key(&name) {
                let (topic, partition) = name.clone();
                let opened = open
                    .client
                    .partition_client(topic, partition, UnknownTopicHandling::Error)
                    .await
                    .map_err(|error| self.refusal("has no leader", &error));
                match opened {
                    Ok(partition) => drop(open.partitions.insert(name.clone(), partition)),
                    Err(refusal) => {
                        delivered.why_again = refusal.text;
                        delivered.again.extend(group.iter().map(|(place, _)| place));
                        continue;
                    }
                }
            }
            if let Some(partition) = open.partitions.get(&name) {
                self.produce(partition, group, &mut delivered).await;
            }
        }
        delivered.again.sort_unstable();
        delivered.refused.sort_by_key(|(place, _)| *place);
        delivered.answer = String::from("acknowledged by all replicas in step");
        Ok(delivered)
    }
}

#[async_trait]
impl Destination for Kafka {
    fn place(&self) -> String {
        format!("{} {}", self.names(), self.config.topic)
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        // The client repeats within this time; what hangs beyond it is given up.
        let limit = self.timeout() * 2;
        let late = |kafka: &Self| {
            let (names, seconds) = (kafka.names(), limit.as_secs());
            Refusal::passing(format!("`{names}` has not answered within {seconds} s"))
        };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match tokio::time::timeout(limit, self.connect()).await {
                Ok(open) => open?,
                Err(_) => return Err(late(self).into()),
            },
        };
        let delivered = match tokio::time::timeout(limit, self.hand_on(part, &mut open)).await {
            Ok(delivered) => delivered?,
            Err(_) => return Err(late(self).into()),
        };
        // After a failure everything is looked up anew.
        if delivered.again.is_empty() {
            self.open = Some(open);
        }
        Ok(delivered)
    }
}

/// True when the records are at fault, and not the set-up or the moment.
fn is_to_blame(error: &Error) -> bool {
    matches!(
        error,
        Error::ServerError {
            protocol_error: ProtocolError::MessageTooLarge
                | ProtocolError::RecordListTooLarge
                | ProtocolError::InvalidRecord
                | ProtocolError::InvalidTimestamp,
            ..
        }
    )
}

/// `text` as the name of a topic: letters, digits, `.`, `_` and `-`.
fn topic(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => character,
            _ => '_',
        })
        .take(MAX_NAME)
        .collect();
    match name.as_str() {
        "" | "." | ".." => String::from("_"),
        _ => name,
    }
}

/// The partition of `key` among `partitions`, which are in order, as Kafka's own clients choose it.
fn choose(key: &[u8], partitions: &[i32]) -> i32 {
    let positive = (murmur2(key) & 0x7fff_ffff) as usize;
    positive
        .checked_rem(partitions.len())
        .and_then(|at| partitions.get(at))
        .copied()
        .unwrap_or(0)
}

/// MurmurHash2 of 32 bits with the seed of Kafka's clients (`org.apache.kafka.common.utils.Utils`).
fn murmur2(bytes: &[u8]) -> u32 {
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> 24;
        hash = hash.wrapping_mul(FACTOR) ^ word.wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_as_by_others() {
        // Of the tests of Kafka's own clients (`UtilsTest.testMurmur2`).
        for (text, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
        assert_eq!(choose(b"abc", &[]), 0);
        assert_eq!(choose(b"abc", &[7]), 7);
    }

    #[test]
    fn topics_are_names() {
        assert_eq!(topic("logs/web ü"), "logs_web__");
        assert_eq!(topic(".."), "_");
        assert_eq!(topic(&"x".repeat(300)).len(), MAX_NAME);
    }
}
