# The forwarder as a container: non-root, fit for a read-only root, one volume.
#
#   docker run --read-only --tmpfs /tmp -v forwarder:/var/lib/forwarder \
#     -v ./forwarder.yaml:/etc/forwarder/forwarder.yaml:ro -p 8080:8080 okta-forwarder
#
# The base is pinned by the digest of its index of platforms; dependabot proposes the next one. All that pip installs is
# held by the hashes of the lock files.
ARG PYTHON=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What no code path of the product imports, 38 MB: Litestar has the first two for examples in an API's description, rich
# the third for highlighting, and tzdata serves faker. A test runs the product without them.
ARG UNUSED="faker polyfactory pygments tzdata"
# Dependencies first: they change seldom, and the layer is kept.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/forwarder \
 && /opt/forwarder/bin/python -m pip install --require-hashes --only-binary :all: -r requirements.lock \
 && /opt/forwarder/bin/python -m pip uninstall --yes ${UNUSED} \
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
COPY config/rules /opt/forwarder/rules
LABEL org.opencontainers.image.title=okta-forwarder \
      org.opencontainers.image.description="Puts every security event of an Okta org into a SIEM" \
      org.opencontainers.image.licenses=Apache-2.0
ENV PATH=/opt/forwarder/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FORWARDER_CONFIG=/etc/forwarder/forwarder.yaml
USER 10001:10001
WORKDIR /var/lib/forwarder
VOLUME /var/lib/forwarder
EXPOSE 8080 9464
# Fails only if a POST could not be stored; a sink that is down does not make the forwarder unhealthy. By http.client,
# because urllib would ask the proxy of HTTP_PROXY, which Docker may set in every container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9464, timeout=2); c.request('GET', '/readyz'); exit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["forwarder"]
CMD ["run"]
