# The forwarder as a container: non-root, fit for a read-only root, one volume.
#
#   docker run --read-only --tmpfs /tmp -v forwarder:/var/lib/forwarder \
#     -v ./forwarder.yaml:/etc/forwarder/forwarder.yaml:ro -p 8080:8080 okta-forwarder
#
# The base goes by tag, so that a rebuild takes its security fixes; pin it by digest where you need the same bits
# each time. All that pip installs is held by the hashes of the lock files.
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: they change seldom, and the layer is kept.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/forwarder \
 && /opt/forwarder/bin/python -m pip install --require-hashes --only-binary :all: -r requirements.lock \
 && python -m pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY dashboards dashboards
COPY forwarder forwarder
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/forwarder/bin/python -m pip install --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/forwarder/bin/python -m pip uninstall --yes pip

FROM ${PYTHON}
# A number, not a name: Kubernetes can tell that it is not root (runAsNonRoot).
RUN install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/forwarder
COPY --from=build /opt/forwarder /opt/forwarder
ENV PATH=/opt/forwarder/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FORWARDER_CONFIG=/etc/forwarder/forwarder.yaml
USER 10001:10001
WORKDIR /var/lib/forwarder
VOLUME /var/lib/forwarder
EXPOSE 8080 9464
# Fails only if a POST could not be stored; a sink that is down does not make the forwarder unhealthy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["forwarder"]
CMD ["run"]
