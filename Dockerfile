# confirmd in a small image: the binary, the root certificates, a user without rights.
#
# Configuration is read from /etc/confirmd/confirmd.toml; mount your own over it, with
# `listen = "0.0.0.0:8080"`. A SQLite database lies in /var/lib/confirmd/data: keep it in a volume.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY chains chains
COPY xtask xtask
COPY migrations migrations
COPY config config
COPY src src
COPY benches benches
RUN cargo build --release --locked --package confirmd --bin confirmd

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/confirmd --create-home confirmd \
    && install -d -o confirmd /var/lib/confirmd/data
COPY --from=build /src/target/release/confirmd /usr/local/bin/confirmd
COPY config /etc/confirmd
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/confirmd/
USER confirmd
WORKDIR /var/lib/confirmd
VOLUME /var/lib/confirmd/data
ENV CONFIRMD_CONFIG=/etc/confirmd/confirmd.toml
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=4 CMD ["confirmd", "health"]
ENTRYPOINT ["confirmd"]
CMD ["run"]
