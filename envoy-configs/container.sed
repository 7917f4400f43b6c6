# What makes a bootstrap of this directory one for a container. The Dockerfile applies it.

# A container has a network of its own: it listens to all of that, and Compose publishes the ports on 127.0.0.1 only.
s/{address: 127\.0\.0\.1, port_value: 10000}/{address: 0.0.0.0, port_value: 10000}/
s/{address: 127\.0\.0\.1, port_value: 9901}/{address: 0.0.0.0, port_value: 9901}/

# Others on that network may read statistics; they may not end Envoy or see its configuration.
/^admin:/a\
  allow_paths: [{prefix: /stats}, {exact: /ready}]

# The service is another container.
/- name: upstream$/,/load_assignment:/s/type: STATIC$/type: STRICT_DNS/
s/{address: 127\.0\.0\.1, port_value: 10001}/{address: upstream, port_value: 10001}/

# Where the Dockerfile puts the modules.
s|filename: target/wasm32-wasip1/release/|filename: /etc/envoy/|
