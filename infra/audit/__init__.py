"""`audit verify`: two processes side by side read the store and Kafka; this one puts together what they have found."""
