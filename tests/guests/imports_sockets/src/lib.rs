//! Looks an address up, so that the component imports sockets.

base::module!(format!(
    "{:?}",
    std::net::TcpStream::connect("127.0.0.1:5432").map(|stream| stream.peer_addr())
));
