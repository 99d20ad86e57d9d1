# Build: docker build -t go-real-time-db .
# Run:   docker run -p 8080:8080 go-real-time-db
# Keep:  docker run -p 8080:8080 -v rtdb:/data -e DATA_DIR=/data go-real-time-db

FROM golang:1.26 AS build
WORKDIR /src
# Download the modules first: they change rarely, so Docker can reuse this layer.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${VERSION}" -o /out/rtdb ./cmd/rtdb && \
    mkdir /out/data

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="rtdb" \
      org.opencontainers.image.description="A real-time database and publish/subscribe server" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/rtdb /rtdb
# To check the certificate of an identity provider (--jwks-url).
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A new named volume that is mounted here has the same owner. Nothing is written to it
# unless DATA_DIR=/data is set.
COPY --from=build --chown=65532:65532 /out/data /data
# An arbitrary user: the server needs no rights and no home directory.
USER 65532:65532
ENV HOST=0.0.0.0
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=2s --retries=3 CMD ["/rtdb", "health"]
ENTRYPOINT ["/rtdb"]
