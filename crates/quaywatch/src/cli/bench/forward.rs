//! Syslog over TCP in, syslog over TCP out, through the whole binary and through rsyslog, by turns.
//!
//! Both count a line as sent once it is written, as rsyslog can do no other.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Row, Show, api::Started, machine};

/// Lines of one round.
const LINES: usize = 1_000_000;
/// Rounds of each program; the first ones of each are warm-up and count too.
const ROUNDS: usize = 3;
/// Bytes the sender hands over at once.
const WRITE_BYTES: usize = 60_000;
/// Longest wait for the last line.
const LIMIT: Duration = Duration::from_secs(120);

/// What one program used.
#[derive(Default)]
struct Used {
    cpu: f64,
    memory: f64,
}

/// Measures both ways of Quaywatch, with and without the store, and rsyslog where it is installed.
pub(super) fn run(folder: &Path, peers: &[(String, PathBuf)], show: Show<'_>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let rsyslog = peers
        .iter()
        .find(|(name, _)| name == "rsyslog")
        .map(|(_, path)| path.clone())
        .or_else(|| Some(PathBuf::from("/usr/sbin/rsyslogd")).filter(|path| path.exists()));
    let lines: Vec<u8> = (0..LINES).flat_map(line).collect();
    show(Row::new(
        "syslog line as it travels, average",
        lines.len() as f64 / LINES as f64,
        "bytes",
    ))?;
    let (mut passing, mut stored, mut peer) = (Used::default(), Used::default(), Used::default());
    for _ in 0..ROUNDS {
        for (used, only) in [(&mut passing, true), (&mut stored, false)] {
            runtime.block_on(quaywatch(&folder.join("forward"), only, &lines, used))?;
        }
        if let Some(program) = &rsyslog {
            through_rsyslog(program, &folder.join("rsyslog"), &lines, &mut peer)?;
        }
    }
    let per_million = |used: &Used| used.cpu / (LINES * ROUNDS) as f64 * 1e6;
    let beside = |row: Row, value: Option<f64>, cited: f64| match value {
        Some(value) => row.peer("rsyslog, TCP to TCP", value, false),
        None => row.peer("rsyslog, TCP to TCP", cited, true),
    };
    let is_beside = rsyslog.is_some();
    let row = Row::new(
        "syslog TCP → disk buffer → syslog TCP",
        per_million(&passing),
        "CPU s per million",
    );
    show(beside(
        row.must(1.0),
        is_beside.then(|| per_million(&peer)),
        1.4,
    ))?;
    show(Row::new(
        "… with every line stored as well",
        per_million(&stored),
        "CPU s per million",
    ))?;
    let row = Row::new("memory meanwhile, at most", passing.memory, "MB");
    show(if is_beside {
        row.peer("rsyslog", peer.memory, false)
    } else {
        row
    })
}

/// One line of RFC 5424 with a text of 120 bytes.
fn line(number: usize) -> Vec<u8> {
    let text = format!(
        "10.0.{}.{} GET /api/orders/{number:08} 200 {} ms ",
        number % 250,
        number % 249,
        number % 997
    );
    format!(
        "<14>1 2026-11-21T10:{:02}:{:02}.{:06}Z node-1 web-{} 1234 - - {text:x<120}\n",
        number / 1_200_000 % 60,
        number / 20_000 % 60,
        number * 50 % 1_000_000,
        number / 1_000 % 40,
    )
    .into_bytes()
}

/// Counts line ends until there are [`LINES`].
fn receive(listener: TcpListener) -> JoinHandle<Result<()>> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(LIMIT))?;
        let (mut count, mut buffer) = (0, vec![0; 1 << 18]);
        while count < LINES {
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "the sender hung up after {count} lines");
            let read = buffer.get(..read).unwrap_or_default();
            count += memchr::memchr_iter(b'\n', read).count();
        }
        Ok(())
    })
}

/// Sends `lines` to `address` and waits until all have come out at `arrived`; what `pid` used meanwhile.
fn pass(
    pid: &str,
    address: SocketAddr,
    lines: &[u8],
    arrived: JoinHandle<Result<()>>,
    used: &mut Used,
) -> Result<()> {
    let mut stream = connect(address)?;
    let before = machine::cpu_seconds(pid)?;
    for part in lines.chunks(WRITE_BYTES) {
        stream.write_all(part)?;
    }
    stream.flush()?;
    match arrived.join() {
        Ok(outcome) => outcome?,
        Err(_) => bail!("the receiver has failed"),
    }
    used.cpu += machine::cpu_seconds(pid)? - before;
    used.memory = used.memory.max(machine::most_resident_megabytes(pid)?);
    Ok(())
}

/// Connects as soon as somebody listens.
fn connect(address: SocketAddr) -> Result<TcpStream> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) if begin.elapsed() > Duration::from_secs(20) => {
                return Err(error).context("nobody listens");
            }
            Err(_) => std::thread::park_timeout(Duration::from_millis(20)),
        }
    }
}

/// A port of this machine that nobody listens at.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn quaywatch(folder: &Path, only_forward: bool, lines: &[u8], used: &mut Used) -> Result<()> {
    if folder.exists() {
        fs_err::remove_dir_all(folder)?;
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (inlet, outlet) = (free_port()?, listener.local_addr()?.port());
    let receivers = format!("[{{type: syslog, listen: ['tcp://127.0.0.1:{inlet}']}}]");
    let routes = format!(
        "[{{name: out, to: {{type: syslog, address: '127.0.0.1:{outlet}', transport: tcp, confirm: written}}}}]"
    );
    let mut environment = vec![
        ("QUAYWATCH_RECEIVERS", receivers.as_str()),
        ("QUAYWATCH_ROUTES", &routes),
    ];
    if only_forward {
        environment.push(("QUAYWATCH_PIPELINE_FORWARD_ONLY", "['kind:log']"));
    }
    let server = Started::new(folder, &environment).await?;
    let address = SocketAddr::from(([127, 0, 0, 1], inlet));
    pass(&server.pid(), address, lines, receive(listener), used)
}

/// A process that ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn through_rsyslog(program: &Path, folder: &Path, lines: &[u8], used: &mut Used) -> Result<()> {
    if folder.exists() {
        fs_err::remove_dir_all(folder)?;
    }
    fs_err::create_dir_all(folder)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (inlet, outlet) = (free_port()?, listener.local_addr()?.port());
    let configuration = folder.join("rsyslog.conf");
    fs_err::write(
        &configuration,
        format!(
            r#"global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imptcp")
input(type="imptcp" port="{inlet}" address="127.0.0.1" ruleset="out")
ruleset(name="out" queue.type="linkedList" queue.size="200000" queue.dequeueBatchSize="1024" queue.workerThreads="1") {{
  action(type="omfwd" target="127.0.0.1" port="{outlet}" protocol="tcp" template="RSYSLOG_SyslogProtocol23Format" TCP_Framing="traditional")
}}
"#,
            folder = folder.display(),
        ),
    )?;
    let child = Command::new(program)
        .arg("-n")
        .arg("-f")
        .arg(&configuration)
        .arg("-i")
        .arg(folder.join("rsyslogd.pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start the peer `{}`", program.display()))?;
    let running = Running(child);
    let address = SocketAddr::from(([127, 0, 0, 1], inlet));
    let pid = running.0.id().to_string();
    pass(&pid, address, lines, receive(listener), used)
}
