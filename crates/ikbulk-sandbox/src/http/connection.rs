//! TCP connections that can be broken: when accepted, or at a chosen byte of a response.
//!
//! hyper writes responses to a [`Connection`]; handlers limit through [`ConnectionControl`] how much
//! of a response is sent.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::state::Sandbox;

/// Pause after a failed accept, such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The listening socket, which resets connections if a fault says so.
#[derive(Debug)]
pub(crate) struct SandboxListener {
    pub(crate) listener: TcpListener,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl Listener for SandboxListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let accepted = self.listener.accept().await;
            let accepted =
                accepted.and_then(|(stream, address)| Ok((Connection::new(stream)?, address)));
            match accepted {
                Ok((mut connection, _)) if self.sandbox.resets_at_accept() => {
                    drop(connection.reset());
                }
                Ok(accepted) => return accepted,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// How much of the next response is written before the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteLimit {
    /// No limit.
    Unlimited,
    /// The head, and this many bytes of the body.
    Body(usize, CloseMode),
    /// This many bytes.
    Bytes(usize, CloseMode),
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// With FIN.
    Graceful,
    /// With RST.
    Reset,
}

/// A handler's control of its connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionControl(Arc<Mutex<WriteLimit>>);

impl ConnectionControl {
    /// Closes the connection after this many bytes of the response, including its head.
    pub(crate) fn close_after(&self, bytes: usize, close: CloseMode) {
        self.set(WriteLimit::Bytes(bytes, close));
    }

    /// Closes the connection after the head of the response and this many bytes of its body.
    pub(crate) fn close_in_body(&self, bytes: usize, close: CloseMode) {
        self.set(WriteLimit::Body(bytes, close));
    }

    fn set(&self, limit: WriteLimit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = limit;
    }

    fn limit(&self) -> WriteLimit {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, SandboxListener>> for ConnectionControl {
    fn connect_info(stream: IncomingStream<'_, SandboxListener>) -> Self {
        stream.io().control.clone()
    }
}

/// A TCP connection controlled by a [`ConnectionControl`].
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    control: ConnectionControl,
    /// Whether the client's end of stream was read.
    has_ended: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            control: ConnectionControl(Arc::new(Mutex::new(WriteLimit::Unlimited))),
            has_ended: false,
        })
    }

    /// Makes the connection close with RST instead of FIN.
    fn reset(&mut self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Writes at most `left` bytes of `buf`. If none are left, returns an error, on which hyper closes
    /// the connection.
    fn write_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        left: usize,
        close: CloseMode,
    ) -> Poll<io::Result<usize>> {
        if left == 0 {
            let closed = if close == CloseMode::Reset { self.reset() } else { Ok(()) };
            return Poll::Ready(closed.and(Err(io::ErrorKind::BrokenPipe.into())));
        }
        let written =
            ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..left.min(buf.len())]))?;
        self.control.set(WriteLimit::Bytes(left - written, close));
        Poll::Ready(Ok(written))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.control.limit() {
            WriteLimit::Unlimited => Pin::new(&mut self.stream).poll_write(cx, buf),
            WriteLimit::Body(bytes, close) => {
                // Assumes that hyper writes the head in one piece.
                let head = memchr::memmem::find(buf, b"\r\n\r\n").map_or(buf.len(), |end| end + 4);
                self.write_some(cx, buf, head + bytes, close)
            }
            WriteLimit::Bytes(left, close) => self.write_some(cx, buf, left, close),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before;
        if is_end && !std::mem::replace(&mut self.has_ended, true) {
            // hyper drops the handler when it reads the end of stream, even before calling it. One
            // turn later, the handler has received the request.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}
