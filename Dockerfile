# One image, several processes: the compose files choose the command.
FROM python:3.11.13-slim-bookworm AS packages
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /app/.venv \
    && /app/.venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
       --no-deps --require-hashes -r requirements.lock \
    && /app/.venv/bin/python -m pip uninstall --yes pip

FROM python:3.11.13-slim-bookworm
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="ecs" \
      org.opencontainers.image.description="Empathic Credit System: API, workers and scripts" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 ecs \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent ecs
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    TZ=UTC
COPY --from=packages /app/.venv /app/.venv
COPY alembic.ini ./
COPY migrations migrations
COPY ecs ecs
COPY workers workers
COPY scripts scripts
# Readable for the user below, whatever umask the checkout was made under; and compiled here, since
# the container that runs cannot write.
RUN chmod -R a+rX alembic.ini ecs migrations scripts workers \
    && python -m compileall -q ecs migrations scripts workers
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "scripts.healthy", "--answers", "8000"]
# Nginx alone reaches the port, so what it says of the client's address is believed.
CMD ["python", "-m", "ecs.api", "--host", "0.0.0.0", "--port", "8000", "--forwarded-allow-ips", "*"]
