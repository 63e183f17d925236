//! nginx as one process, from a configuration of the test's own.

use std::path::Path;
use std::process::Command;

use super::program::Program;

/// Starts nginx with these blocks inside `http {}`, and waits until it listens at `port`.
pub async fn start(directory: &Path, http: &str, port: u16) -> Program {
    let name = format!("nginx-{port}");
    let home = directory.join(&name);
    std::fs::create_dir_all(&home).expect("a directory");
    let at = home.display();
    // One process: it ends by its id, and leaves no workers.
    let text = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr info;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n log_format asked '$status $request_uri [$http_x_token] $ssl_client_s_dn';\n access_log {at}/access.log asked;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n{http}\n}}\n"
    );
    let path = home.join("nginx.conf");
    std::fs::write(&path, text).expect("written");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path).arg("-p").arg(&home).args(["-e", "stderr"]);
    Program::start(&name, &mut command, directory).listening(port).await
}

/// What it logged of its requests: status, URI, the header `X-Token`, the client certificate's subject.
pub fn requests(directory: &Path, port: u16) -> String {
    std::fs::read_to_string(directory.join(format!("nginx-{port}/access.log"))).expect("its log")
}
