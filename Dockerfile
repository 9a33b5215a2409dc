# The image of all roles: one static binary on nothing. `make image` first builds the binary and what it needs, under
# dist/image, so that nothing is pulled and no compiler is in an image.
FROM scratch
ARG VERSION=dev
ARG COMMIT=unknown
ARG DATE=unknown
LABEL org.opencontainers.image.title="cqrsflow" \
      org.opencontainers.image.description="CQRS and event sourcing on Kafka" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.created="${DATE}"
# /cqrsflow, the certificate authorities, the user's name, and /data and /tmp, empty and writable.
COPY dist/image /
# Loopback is of no use within a container.
ENV CQRSFLOW_DATA=/data CQRSFLOW_HTTP=:8080 CQRSFLOW_OPS_ADDR=:9080
USER 65532:65532
VOLUME ["/data", "/tmp"]
EXPOSE 8080 9080
ENTRYPOINT ["/cqrsflow"]
CMD ["--help"]
