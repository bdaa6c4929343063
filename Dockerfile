# syntax=docker/dockerfile:1
# One image for every process: docker build --tag lamella .
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/lamella
# Dependencies first: they change less often than the code.
COPY requirements.lock pyproject.toml README.md LICENSE NOTICE ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
e = p['optional-dependencies']; \
print('\n'.join(p['dependencies'] + e['train'] + e['onnx'] + e['s3']))" > wanted.txt \
 && /opt/lamella/bin/pip install --constraint requirements.lock --requirement wanted.txt
COPY alembic alembic
COPY platform platform
COPY workers workers
RUN /opt/lamella/bin/pip install --no-deps .

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/lamella --create-home lamella \
 && install --directory --owner lamella --group lamella --mode 0700 /var/lib/lamella/models \
 /var/lib/lamella/journal /var/lib/lamella/archive
COPY --from=build /opt/lamella /opt/lamella
ENV PATH=/opt/lamella/bin:$PATH PYTHONUNBUFFERED=1 LAMELLA_DATA_DIR=/var/lib/lamella TF_CPP_MIN_LOG_LEVEL=3
USER lamella
WORKDIR /var/lib/lamella
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=6 CMD ["lamella", "health", "web"]
CMD ["lamella", "web", "--host", "0.0.0.0", "--port", "8000"]
