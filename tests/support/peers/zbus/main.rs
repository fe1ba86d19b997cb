// zbus.
use std::convert::TryInto;
use std::io::{self, Read, Write};
use std::os::unix::io::{AsRawFd, FromRawFd, RawFd};
use std::{env, fs, process, thread};

use zbus::fdo::{DBusProxy, RequestNameFlags};
use zbus::{dbus_interface, Connection, MessageError, ObjectServer};
use zvariant::Fd;

const PATH: &str = "/org/omnibus/Peer";
const INTERFACE: &str = "org.omnibus.Peer";
const ERROR: &str = "org.omnibus.Error.Expected";
const TEXT: &str = "grüß dich";
const NUMBERS: [i32; 3] = [1, -2, 3];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Returns both ends of a pipe.
fn pipe() -> Outcome<(fs::File, fs::File)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: the kernel writes two descriptors, which nothing else owns.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok((fs::File::from_raw_fd(ends[0]), fs::File::from_raw_fd(ends[1])))
    }
}

/// Reads once, because a service may have the other end open for a while.
fn read_once(mut file: fs::File) -> Outcome<String> {
    let mut content = [0; 1000];
    let count = file.read(&mut content)?;
    Ok(String::from_utf8(content[..count].to_vec())?)
}

fn check<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) {
    if found != expected {
        println!("{}: {:?} instead of {:?}", what, found, expected);
        process::exit(1);
    }
}

fn failed(error: Box<dyn std::error::Error>) -> zbus::fdo::Error {
    zbus::fdo::Error::Failed(error.to_string())
}

struct Service {
    connection: Connection,
}

#[dbus_interface(name = "org.omnibus.Peer")]
impl Service {
    fn echo(&self, content: String, values: Vec<i32>) -> (String, Vec<i32>) {
        (content, values)
    }

    fn announce(&self, content: &str) -> zbus::fdo::Result<()> {
        self.connection
            .emit_signal(None::<&str>, PATH, INTERFACE, "Announced", &content)
            .map_err(|error| failed(error.into()))
    }

    /// The descriptor stays the message's, which closes it.
    fn write(&self, descriptor: Fd, content: &str) -> zbus::fdo::Result<()> {
        // SAFETY: dup gives a descriptor that nothing else owns.
        let mut file = unsafe { fs::File::from_raw_fd(libc::dup(descriptor.as_raw_fd())) };
        file.write_all(content.as_bytes()).map_err(|error| failed(error.into()))
    }

    /// The reading end is left open: the library sends the reply after this has returned.
    fn open(&self, content: &str) -> zbus::fdo::Result<Fd> {
        let (read, mut write) = pipe().map_err(failed)?;
        write.write_all(content.as_bytes()).map_err(|error| failed(error.into()))?;
        let descriptor = read.as_raw_fd();
        std::mem::forget(read);
        Ok(descriptor.into())
    }
}

fn serve(connection: Connection, name: &str) -> Outcome<()> {
    let mut server = ObjectServer::new(&connection);
    server.at(&PATH.try_into()?, Service { connection: connection.clone() })?;
    DBusProxy::new(&connection)?.request_name(name, RequestNameFlags::DoNotQueue.into())?;
    println!("ready");
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        process::exit(0)
    });
    loop {
        let message = connection.receive_message()?;
        // The object server can only return errors of the bus itself.
        if message.header()?.member()? == Some("Fail") {
            connection.reply_error(&message, ERROR, &TEXT)?;
        } else {
            server.dispatch_message(&message)?;
        }
    }
}

fn call(connection: Connection, name: &str) -> Outcome<()> {
    let reply = connection.call_method(Some(name), PATH, Some(INTERFACE), "Echo", &(TEXT, &NUMBERS[..]))?;
    check("Echo", reply.body::<(String, Vec<i32>)>()?, (TEXT.into(), NUMBERS.to_vec()));
    match connection.call_method(Some(name), PATH, Some(INTERFACE), "Fail", &()) {
        Err(zbus::Error::MethodError(error, content, _)) => {
            check("Fail", (error.as_str(), content.as_deref()), (ERROR, Some(TEXT)))
        }
        other => check("Fail", format!("{:?}", other), "an error".into()),
    }

    let rule = format!(
        "type='signal',sender='{}',interface='{}',member='Announced',path='{}'",
        name, INTERFACE, PATH
    );
    DBusProxy::new(&connection)?.add_match(&rule)?;
    let sent = zbus::Message::method(
        connection.unique_name(), Some(name), PATH, Some(INTERFACE), "Announce", &TEXT,
    )?;
    connection.send_message(sent)?;
    loop {
        let message = connection.receive_message()?;
        if message.header()?.member()? == Some("Announced") {
            check("Announced", message.body::<String>()?, TEXT.into());
            break;
        }
    }

    let (read, write) = pipe()?;
    connection.call_method(
        Some(name), PATH, Some(INTERFACE), "Write", &(Fd::from(write.as_raw_fd()), TEXT),
    )?;
    drop(write);
    check("Write", read_once(read)?, TEXT.into());
    let reply = connection.call_method(Some(name), PATH, Some(INTERFACE), "Open", &TEXT)?;
    let descriptor: Fd = reply.body().map_err(|error: MessageError| error)?;
    // SAFETY: dup gives a descriptor that nothing else owns.
    let opened = unsafe { fs::File::from_raw_fd(libc::dup(descriptor.as_raw_fd())) };
    check("Open", read_once(opened)?, TEXT.into());
    println!("ok");
    Ok(())
}

fn main() -> Outcome<()> {
    let connection = Connection::new_for_address(&env::var("DBUS_SESSION_BUS_ADDRESS")?, true)?;
    let arguments: Vec<String> = env::args().collect();
    match arguments[1].as_str() {
        "service" => serve(connection, &arguments[2]),
        _ => call(connection, &arguments[2]),
    }
}
