//! A small blocking HTTP/1.1 client for tests, loopback only.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, as it was sent.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} is not JSON: {error}: {}", self.status, self.text()))
    }

    /// Value of the first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Sends one request and reads the whole answer; gives up after 60 s of silence.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let mut reader = open(
        address,
        method,
        path,
        headers,
        body,
        Duration::from_secs(60),
    )?;
    read_response(&mut reader)
}

/// A connection that is kept for many requests, as senders of events do.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects; later waits end after 60 s of silence.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let reader = connect(address, Duration::from_secs(60))?;
        Ok(Self { address, reader })
    }

    /// Sends one request and reads the whole answer; an error when the server has hung up.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut all = vec![("connection", "keep-alive")];
        all.extend(headers);
        write_request(
            self.reader.get_mut(),
            self.address,
            method,
            path,
            &all,
            body,
        )?;
        read_response(&mut self.reader)
    }
}

/// An open stream of server-sent events.
#[derive(Debug)]
pub struct EventStream {
    reader: BufReader<TcpStream>,
    buffer: Vec<u8>,
}

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct Message {
    /// The `id:` line.
    pub id: Option<String>,
    /// The `data:` lines, as JSON.
    pub data: Value,
}

impl EventStream {
    /// Opens a stream; an error when the answer is not 200. `silence` bounds each wait.
    pub fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        silence: Duration,
    ) -> Result<Self> {
        let mut reader = open(address, "GET", path, headers, b"", silence)?;
        let (status, _) = head(&mut reader)?;
        if status != 200 {
            bail!("stream `{path}` answered {status}");
        }
        Ok(Self {
            reader,
            buffer: Vec::new(),
        })
    }

    /// The next message with data; comments are passed over. `None` when the stream has ended.
    pub fn next_message(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block)?;
                let field = |name: &str| {
                    block
                        .lines()
                        .filter_map(|line| line.strip_prefix(name))
                        .collect::<Vec<_>>()
                };
                let data = field("data: ").join("\n");
                if data.is_empty() {
                    continue;
                }
                let id = field("id: ").first().map(|id| (*id).to_owned());
                return Ok(Some(Message {
                    id,
                    data: serde_json::from_str(&data)?,
                }));
            }
            match chunk(&mut self.reader)? {
                Some(chunk) => self.buffer.extend(chunk),
                None => return Ok(None),
            }
        }
    }
}

fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    silence: Duration,
) -> Result<BufReader<TcpStream>> {
    let mut reader = connect(address, silence)?;
    let mut all = vec![("connection", "close")];
    all.extend(headers);
    write_request(reader.get_mut(), address, method, path, &all, body)?;
    Ok(reader)
}

fn connect(address: SocketAddr, silence: Duration) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(silence))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

fn write_request(
    stream: &mut TcpStream,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<()> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method != "GET" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    Ok(())
}

fn read_response(reader: &mut impl BufRead) -> Result<Response> {
    let (status, headers) = head(reader)?;
    let mut body = Vec::new();
    let value = |name: &str| {
        headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    };
    if value("transfer-encoding").is_some_and(|value| value == "chunked") {
        while let Some(chunk) = chunk(reader)? {
            body.extend(chunk);
        }
    } else if let Some(length) = value("content-length") {
        body.resize(length.parse()?, 0);
        reader.read_exact(&mut body)?;
    } else if status != 204 && status != 304 {
        reader.read_to_end(&mut body)?;
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

fn head(reader: &mut impl BufRead) -> Result<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("no status in `{}`", line.trim_end()))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let text = line.trim_end();
        if text.is_empty() {
            return Ok((status, headers));
        }
        if let Some((name, value)) = text.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn chunk(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let size = line.trim_end().split(';').next().unwrap_or_default();
    let size = usize::from_str_radix(size, 16).with_context(|| format!("bad chunk `{size}`"))?;
    let mut data = vec![0; size + 2];
    reader.read_exact(&mut data)?;
    data.truncate(size);
    Ok((size > 0).then_some(data))
}
