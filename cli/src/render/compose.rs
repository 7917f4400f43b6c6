//! `meshgate render compose`: a project of Docker Compose that runs Envoy with the filters in front of a service.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::envoy::{Address, Places, address, bootstrap};
use super::input::Input;
use super::write;
use super::yaml::{Map, Yaml};

/// Write a project of Docker Compose: docker-compose.yml and envoy.yaml
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Compose {
    #[command(flatten)]
    input: Input,

    /// The directory of the project
    #[arg(long, short, value_name = "DIR", required = true)]
    output: PathBuf,

    /// The directory with the modules, from that of the project
    #[arg(long, value_name = "DIR", default_value = "./modules")]
    modules: String,

    /// The service behind it, as Envoy's container reaches it; host.docker.internal is this machine
    #[arg(long, value_name = "HOST:PORT", default_value = "host.docker.internal:10001", value_parser = address)]
    upstream: Address,

    /// The port on this machine
    #[arg(long, value_name = "PORT", default_value_t = 10000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// The image with Envoy
    #[arg(long, default_value = "envoyproxy/envoy:v1.40.0")]
    image: String,
}

const EXAMPLES: &str = "\
Examples:
  meshgate render compose quota.yaml --modules ../target/wasm32-wasip1/release --output demo/
  cd demo && docker compose up";

/// Where things are in the container.
const MODULES: &str = "/etc/envoy/meshgate";

impl Compose {
    /// Runs the command.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn run(self) -> io::Result<ExitCode> {
        let links = match self.input.read().finish()? {
            Ok(links) => links,
            Err(status) => return Ok(status),
        };
        // A container is reached from outside by all its addresses or by none; the port is published on the loopback only.
        let all = |port| Address { host: "0.0.0.0".to_owned(), port };
        let (listen, admin) = (all(10000), Address { host: "127.0.0.1".to_owned(), port: 9901 });
        let places = Places { listen: &listen, admin: &admin, upstream: &self.upstream, modules: MODULES };
        let envoy = Yaml::from(bootstrap(&links, &places));
        let mut variables: Vec<_> =
            links.iter().flat_map(|link| link.config.variables.iter().map(String::as_str)).collect();
        variables.sort_unstable();
        variables.dedup();
        write(&self.output.join("envoy.yaml"), &envoy.document())?;
        write(&self.output.join("docker-compose.yml"), &Yaml::from(self.project(&variables)).document())?;
        Ok(ExitCode::SUCCESS)
    }

    fn project(&self, variables: &[&str]) -> Map {
        let mut envoy = Map::new()
            .with("image", self.image.as_str())
            .with_comment(
                "As the image does it, but without the rights that its entrypoint takes to change to this user.",
                "user",
                "101:101",
            )
            .with("entrypoint", vec!["/usr/local/bin/envoy", "-c", "/etc/envoy/envoy.yaml"])
            .with("read_only", true)
            .with("cap_drop", vec!["ALL"])
            .with("security_opt", vec!["no-new-privileges:true"])
            .with("ports", vec![format!("127.0.0.1:{}:10000", self.port)])
            .with(
                "volumes",
                vec![
                    "./envoy.yaml:/etc/envoy/envoy.yaml:ro".to_owned(),
                    format!("{}:{MODULES}:ro", self.modules),
                ],
            );
        if !variables.is_empty() {
            envoy = envoy.with_comment(
                "From the environment of docker compose, or its file .env.",
                "environment",
                variables.to_vec(),
            );
        }
        if self.upstream.host == "host.docker.internal" {
            envoy = envoy.with("extra_hosts", vec!["host.docker.internal:host-gateway"]);
        }
        Map::new().with("services", Map::new().with("envoy", envoy))
    }
}
