"""What reads Kafka: the projector, and the events that it has to park."""
