# The image of infra/batch.yaml's jobs. Never built where this was written: there is no Docker there.
#   docker build -f infra/batch.Dockerfile -t shardlake-build .
FROM python:3.12-slim
COPY layers/search.txt constraints.txt /tmp/
# faiss-gpu brings the same module as faiss-cpu, and CUDA's libraries; without a GPU it works on processors.
RUN sed 's/^faiss-cpu.*/faiss-gpu-cu12/' /tmp/search.txt > /tmp/packages.txt \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt --requirement /tmp/packages.txt
COPY src/shardlake /app/shardlake
COPY functions /app/functions
COPY builder /app/builder
WORKDIR /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1
