# midlayer-server and its client on Debian 12. docs/image.md says how to run it.
#
#   docker build --target cpu -t midlayer:cpu .      (what no --target builds, too)
#   docker build --target cuda -t midlayer:cuda .
#
# What is downloaded is pinned by digest in tools/requirements*.txt and server/ffi/Cargo.lock. Debian is not: its packages are the
# newest of Debian 12, and so is the base. To pin that one too, name it by digest:
#   --build-arg DEBIAN=debian:bookworm-slim@sha256:…     (docker buildx imagetools inspect debian:bookworm-slim)
ARG DEBIAN=debian:bookworm-slim

# What building takes: compilers, libtorch, the default model. No source is here yet, so a change of one downloads nothing again.
# hadolint ignore=DL3006
FROM ${DEBIAN} AS setup
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY tools/setup.sh tools/requirements.txt tools/requirements-hiredis.txt tools/model.sha256 tools/
RUN tools/setup.sh && rm -rf /var/lib/apt/lists/*
COPY tools/stage.sh tools/
RUN tools/stage.sh cpu /stage/cpu
# MODEL=none leaves the default model out: mount one, and name it by MIDLAYER_MODEL.
ARG MODEL=all-MiniLM-L6-v2
RUN mkdir -p /stage/models \
  && if [ "$MODEL" != none ]; then cp -r "models/$MODEL" /stage/models/; fi

# NVIDIA's libraries, 1.9 GB of downloads. The libraries' folder in .deps is not kept: what of it is needed is staged.
FROM setup AS setup-cuda
COPY tools/requirements-cuda.txt tools/
RUN tools/setup.sh --cuda && tools/stage.sh cuda /stage/cuda && rm -rf .deps/nvidia

FROM setup AS build
COPY server/ffi server/ffi
RUN cargo fetch --quiet --locked --target x86_64-unknown-linux-gnu --manifest-path server/ffi/Cargo.toml
COPY CMakeLists.txt CMakePresets.json LICENSE ./
COPY cmake cmake
COPY tools/build.sh tools/
COPY proto proto
COPY server server
COPY client client
# Without their symbols, which nobody keeps: a stack trace of this image has few names.
RUN tools/build.sh package midlayer-server midlayer \
  && cmake --install build/package --component programs --strip --prefix /stage/usr \
  && tools/stage.sh licenses /stage/licenses \
  && cp LICENSE /stage/licenses/

# What both images are but for their libraries. From here on nothing is compiled or downloaded but Debian's packages.
# hadolint ignore=DL3006
FROM ${DEBIAN} AS runtime
# Not pinned on purpose: Debian 12 changes them for security only, and keeps no older ones.
# hadolint ignore=DL3008
RUN apt-get update -qq \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates libabsl20220623 libcivetweb1 \
    libgrpc++1.51 libhwy1 libjemalloc2 libprometheus-cpp-core1.0 libprotobuf32 libre2-9 libspdlog1.10 libssl3 libutf8proc2 \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/log/* \
  && install -d -o 65532 -g 65532 -m 0750 /var/lib/midlayer
COPY --from=setup /stage/cpu /usr/local/lib/midlayer
COPY --from=setup /stage/models /models
# As flags, these can be given again behind the image's name; as variables they can be changed one by one.
ENV MIDLAYER_MODEL=/models/all-MiniLM-L6-v2 \
  MIDLAYER_LISTEN=0.0.0.0:50051 \
  MIDLAYER_METRICS_LISTEN=0.0.0.0:9090 \
  MIDLAYER_SELECTION_STORE=file:/var/lib/midlayer/selections
EXPOSE 50051 9090
# The only path that is written to. Declared, so that --read-only needs no flag for it.
VOLUME /var/lib/midlayer
WORKDIR /
# By number: Kubernetes' runAsNonRoot wants to know that it is not 0.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["midlayer", "health", "--timeout=5"]
ENTRYPOINT ["midlayer-server"]
LABEL org.opencontainers.image.title="midlayer" \
  org.opencontainers.image.description="Text embeddings from any layer of a transformer, over gRPC" \
  org.opencontainers.image.version="0.1.0" \
  org.opencontainers.image.licenses="Apache-2.0"

# What is shipped, by name, version and digest: /usr/share/doc/midlayer/sbom.cdx.json.
FROM build AS sbom
COPY tools/sbom.py tools/requirements-cuda.txt tools/
COPY --from=runtime /var/lib/dpkg/status /stage/dpkg-status
ARG MODEL=all-MiniLM-L6-v2
RUN set -- --dpkg-status /stage/dpkg-status \
  && if [ "$MODEL" = none ]; then set -- "$@" --no-model; fi \
  && tools/sbom.py "$@" >/stage/cpu.cdx.json \
  && tools/sbom.py "$@" --cuda >/stage/cuda.cdx.json

# libtorch_cuda and NVIDIA's libraries below the programs: a change of sources moves none of their 3 GB.
FROM runtime AS runtime-cuda
COPY --from=setup-cuda /stage/cuda /usr/local/lib/midlayer
# No GPU is an error here; MIDLAYER_DEVICE=auto takes the CPU then. The others are read by NVIDIA's container toolkit.
ENV MIDLAYER_DEVICE=cuda \
  NVIDIA_VISIBLE_DEVICES=all \
  NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM runtime-cuda AS cuda
COPY --from=setup-cuda /src/.deps/licenses /usr/share/doc/midlayer/licenses
COPY --from=build /stage/licenses /usr/share/doc/midlayer/licenses
COPY --from=sbom /stage/cuda.cdx.json /usr/share/doc/midlayer/sbom.cdx.json
COPY --from=build /stage/usr /usr/local
ARG REVISION=
ARG SOURCE=
# Whether all libraries are there. Behind the arguments: buildah would otherwise keep labels of an older build.
RUN midlayer-server --version && midlayer --version
LABEL org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.source="${SOURCE}"

FROM runtime AS cpu
COPY --from=build /stage/licenses /usr/share/doc/midlayer/licenses
COPY --from=sbom /stage/cpu.cdx.json /usr/share/doc/midlayer/sbom.cdx.json
COPY --from=build /stage/usr /usr/local
ARG REVISION=
ARG SOURCE=
RUN midlayer-server --version && midlayer --version
LABEL org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.source="${SOURCE}"
