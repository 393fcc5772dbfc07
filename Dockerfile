# Springhead as a container image. It needs nothing but this directory:
#
#   docker build -t springhead .
#   docker run --read-only -v springhead:/data -p 8080:8080 --stop-timeout 40 springhead
#
# The first start prints the API keys and what to paste where. Settings come as SPRINGHEAD_... variables, or as a file that is
# mounted and named by SPRINGHEAD_CONFIG. 'docker run --rm springhead config default' prints one to begin with.

# The release in rust-toolchain.toml. That file itself is kept out: it names components that this image may lack and a patch
# release it may not have, and either would make rustup download a toolchain in the middle of the build.
FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies, in a layer that lasts until the manifest or the lock file changes. Cargo builds them for a program that does
# nothing. That program's own traces are removed in the same step: COPY keeps the sources' times, and where those are older than
# this layer, cargo would take the empty program for the finished one.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir src \
    && echo '//! Empty.' > src/lib.rs \
    && printf '//! Empty.\nfn main() {}\n' > src/main.rs \
    && cargo build --release --locked \
    && cargo clean --release --package springhead \
    && rm -r src

# The program. The settings file is compiled in: 'springhead config default' prints it.
COPY config/springhead.toml config/
COPY src src
RUN cargo build --release --locked

# Debug information goes to a file of its own: it is larger than the program. Then the program as shipped has to run, know its
# version, and accept the settings file it comes with.
WORKDIR /out
RUN objcopy --only-keep-debug --compress-debug-sections /build/target/release/springhead springhead.debug \
    && objcopy --strip-all --add-gnu-debuglink=springhead.debug /build/target/release/springhead springhead \
    && ./springhead --version \
    && ./springhead config check /build/config/springhead.toml

# Not part of the image. Line numbers for a profile or a core dump from the field, matched to the program by its build ID:
#
#   docker build --target debug-info --output . .
FROM scratch AS debug-info
COPY --from=build /out/springhead.debug /

# The same Debian as the build's, so that the program finds the C library it was linked with. It has all the program needs.
FROM debian:bookworm-slim

# Who may write to /data, and nothing else. A number without an account, so that a cluster can see that it is not root; it is
# made before VOLUME, because a new volume takes over the directory's owner and mode. The signing key lives there.
RUN install --directory --owner=65532 --group=65532 --mode=0700 /data
COPY --from=build /out/springhead /usr/local/bin/springhead
# Whom the program believes when it asks others over TLS: a collector of traces, or whatever 'springhead doctor' looks at.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt

ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="Springhead" \
      org.opencontainers.image.description="Self-hosted HTTP origin for live video: encoders push segments and playlists, CDNs pull them." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Keys, revocations, and objects beside memory. Nothing else is written, so the root file system can be read-only. It is the
# working directory too: a relative path in a setting can only mean a place that lasts.
# The admin listener is open to other containers, so it asks for a key of role admin: the first start writes
# /data/admin_api_key.json. SPRINGHEAD_METRICS_OPEN=true lets a Prometheus on the same network read /metrics without one.
ENV SPRINGHEAD_DATA_DIR=/data \
    SPRINGHEAD_ADMIN_LISTEN=0.0.0.0:8081
VOLUME /data
WORKDIR /data
USER 65532:65532

# Objects; and metrics, probes and the encoders' black box.
EXPOSE 8080 8081

# SIGTERM drains: requests in flight may end, for SPRINGHEAD_DRAIN_TIMEOUT, 30 s. Docker kills after 10 s unless told otherwise
# (--stop-timeout, stop_grace_period in Compose; terminationGracePeriodSeconds in Kubernetes, 30 s): allow a little more than
# the drain.
STOPSIGNAL SIGTERM

# The program asks itself, so no curl is needed. It looks where the settings in the environment say: change the address with
# SPRINGHEAD_LISTEN or in the settings file, not with --listen, which this command would not see. A silent server fails it
# within 6 s. Unhealthy while draining, as it should be. Only images in Docker's format carry it: with Buildah and Podman,
# build with --format docker. Kubernetes has probes of its own: GET /readyz and /livez.
HEALTHCHECK --interval=10s --timeout=8s --start-period=5s --retries=3 CMD ["springhead", "health"]

ENTRYPOINT ["springhead"]
CMD ["serve"]
