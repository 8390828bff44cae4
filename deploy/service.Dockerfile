# One image per service: `--build-arg SERVICE=services/sessions` (or `gateway`). Installs what that service's own lock
# names, nothing else, and runs as an ordinary user.
FROM python:3.11-slim AS install
ARG SERVICE
WORKDIR /build
RUN python -m venv /venv
COPY ${SERVICE}/requirements.lock ./
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY contracts contracts
COPY sdk sdk
RUN /venv/bin/pip install --no-cache-dir --no-deps ./contracts ./sdk

FROM python:3.11-slim
ARG SERVICE
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 SERVICE=${SERVICE}
WORKDIR /app
COPY --from=install /venv /venv
COPY kit kit
COPY deploy/__init__.py deploy/__init__.py
COPY deploy/local deploy/local
COPY services/__init__.py services/__init__.py
COPY ${SERVICE} ${SERVICE}
RUN useradd --system --uid 10001 bureau && install -d -o bureau /var/lib/bureau /data
USER bureau
CMD ["sh", "-c", "exec python -m kit.serve $(echo $SERVICE | tr / .)"]
