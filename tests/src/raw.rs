//! Bytes as they are, on either side of Envoy: for what no HTTP library sends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends the bytes and reads until the other side closes: a good HTTP/1.1 request needs `connection: close`.
///
/// # Errors
/// If the connection is still open after 20 s.
pub async fn raw(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let mut connection = RawConnection::open(addr).await?;
    connection.write(bytes).await?;
    connection.read_to_end().await
}

/// A TCP connection.
#[derive(Debug)]
pub struct RawConnection(TcpStream);

impl RawConnection {
    /// Connects.
    ///
    /// # Errors
    /// If that fails.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(addr).await.with_context(|| format!("connecting to {addr}"))?;
        socket.set_nodelay(true)?;
        Ok(Self(socket))
    }

    /// Sends bytes. That the other side closed meanwhile is no error: what it said before that can be read.
    ///
    /// # Errors
    /// If the other side takes nothing for 20 s.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let written = timeout(TIMEOUT, self.0.write_all(bytes.as_ref())).await;
        let _closed = written.context("writing")?;
        Ok(())
    }

    /// Sends bytes in pieces of this size, with a pause between them.
    ///
    /// # Errors
    /// As [`RawConnection::write`].
    pub async fn write_slowly(
        &mut self,
        bytes: impl AsRef<[u8]>,
        size: usize,
        pause: Duration,
    ) -> Result<()> {
        for piece in bytes.as_ref().chunks(size) {
            self.write(piece).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Reads until these bytes came, and returns all that came.
    ///
    /// # Errors
    /// If the connection ends before they came, or they did not come within 20 s.
    pub async fn read_until(&mut self, end: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let (end, mut read) = (end.as_ref(), Vec::new());
        while !read.windows(end.len()).any(|window| window == end) {
            let more = timeout(TIMEOUT, self.0.read_buf(&mut read)).await;
            let seen = || format!("reading, after {:?}", String::from_utf8_lossy(&read));
            if more.with_context(seen)?.with_context(seen)? == 0 {
                bail!("closed after {:?}", String::from_utf8_lossy(&read));
            }
        }
        Ok(read)
    }

    /// Reads until the other side closes or resets.
    ///
    /// # Errors
    /// If the connection is still open after 20 s.
    pub async fn read_to_end(&mut self) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        let end =
            timeout(TIMEOUT, async { while self.0.read_buf(&mut read).await.unwrap_or(0) > 0 {} }).await;
        end.with_context(|| format!("still open after {:?}", String::from_utf8_lossy(&read)))?;
        Ok(read)
    }

    /// Ends the connection with a TCP RST.
    ///
    /// # Errors
    /// If the socket cannot.
    pub fn reset(self) -> Result<()> {
        Ok(self.0.set_zero_linger()?)
    }
}

/// An upstream that answers every HTTP/1.1 request with the same bytes, and then closes the connection or echoes.
pub struct RawUpstream {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<Vec<u8>>>>,
    server: AbortHandle,
}

impl RawUpstream {
    /// Starts one that closes the connection behind its answer, on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(response: impl Into<Bytes>) -> Result<Self> {
        Self::serve(response.into(), false).await
    }

    /// Starts one that takes every upgrade to this protocol and then sends back each byte that comes, until the other side
    /// closes; on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn upgrade(protocol: &str) -> Result<Self> {
        let head =
            format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
        Self::serve(head.into(), true).await
    }

    async fn serve(response: Bytes, echo: bool) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("binding a free port")?;
        let addr = listener.local_addr()?;
        let heads = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let seen = Arc::clone(&heads);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, response) = (Arc::clone(&seen), response.clone());
                connections.spawn(async move {
                    let mut connection = RawConnection(socket);
                    let Ok(head) = connection.read_until("\r\n\r\n").await else { return };
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                    let _ = connection.write(response).await;
                    if echo {
                        let (mut from, mut to) = connection.0.split();
                        let _ = tokio::io::copy(&mut from, &mut to).await;
                    } else {
                        // Reading on keeps what the client still sends from resetting the connection.
                        let _ = connection.0.shutdown().await;
                        let _ = connection.read_to_end().await;
                    }
                });
            }
        });
        Ok(Self { addr, heads, server: server.abort_handle() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What came of each request up to the end of its head, and what came with that.
    pub fn heads(&self) -> Vec<Vec<u8>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}
