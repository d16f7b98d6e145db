"""What an administrator sees from outside: metrics, health, logs."""
