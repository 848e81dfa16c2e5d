"""
RabbitMQ, spoken to through aio-pika's plain connection.

Its self-healing one is not used: a publisher that was cut off by a frozen broker never published
again. Here whoever loses the connection drops it and opens a new one, and no wait is unbounded.
"""
