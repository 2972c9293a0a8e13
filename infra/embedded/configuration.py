"""What the embedded servers are told, as far as it is the same for every home."""

# server.properties; ports and folders are added at each start.
KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
# The log is kept without end; a topic that wants otherwise says so itself.
log.retention.ms=-1
log.retention.bytes=-1
offsets.retention.minutes=5256000
# One node: nothing to copy to, and few internal partitions to open at each start.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# After a SIGKILL the new broker is let in only when the session of the killed one is over (9 s by default).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.recovery.threads.per.data.dir=2
num.network.threads=2
num.io.threads=4
"""

KAFKA_LOG4J = """\
Configuration:
  status: warn
  shutdownHook: disable  # or the log would end before Kafka has
  Appenders:
    RollingFile:
      name: server
      fileName: "${sys:ledger.log}"
      filePattern: "${sys:ledger.log}.%i"
      PatternLayout: {pattern: "%d{ISO8601} %-5p %c{1}: %m%n"}
      Policies: {SizeBasedTriggeringPolicy: {size: 10MB}}
      DefaultRolloverStrategy: {max: 3}
  Loggers:
    Root:
      level: info
      AppenderRef: {ref: server}
"""

# postgresql.conf; the socket's folder is added at each start.
POSTGRES = """\
# Written by partner-ledger at each start; changes made here are lost.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
# Durability: never to be turned off, a committed fact is a promise.
fsync = on
full_page_writes = on
synchronous_commit = on
# For a machine of two cores that runs Kafka as well.
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
wal_buffers = 16MB
wal_compression = pglz
min_wal_size = 256MB
max_wal_size = 4GB
checkpoint_completion_target = 0.9
random_page_cost = 1.1
max_worker_processes = 4
max_parallel_workers = 2
max_parallel_workers_per_gather = 1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
"""
