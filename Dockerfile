# One image, several processes: the compose files choose the command.
FROM python:3.11-slim-bookworm AS packages
WORKDIR /app
COPY requirements.lock .
RUN python -m venv /app/.venv \
    && /app/.venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home ecs
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=packages /app/.venv /app/.venv
COPY alembic.ini ./
COPY migrations migrations
COPY ecs ecs
COPY workers workers
COPY scripts scripts
USER ecs
EXPOSE 8000
CMD ["uvicorn", "ecs.api.asgi:create", "--factory", "--host", "0.0.0.0", "--port", "8000", \
     "--loop", "uvloop", "--http", "httptools", "--timeout-keep-alive", "75", \
     "--timeout-graceful-shutdown", "25", "--limit-concurrency", "1000", "--backlog", "512", \
     "--no-server-header", "--no-access-log"]
