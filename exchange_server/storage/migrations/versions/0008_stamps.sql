-- Time-stamps. A batch is a text file of SHA-256s of signatures, one on a line, sorted; its token
-- comes when a time-stamping service has answered, and stays.
create table exchange.stamp_batches (
    batch bigint generated always as identity primary key,
    lines bytea not null,
    made_at timestamptz not null,
    -- A DER TimeStampResp (RFC 3161), and what was in force at its time.
    response bytea,
    stamped_at timestamptz,
    root_crl bigint,
    seal_crl bigint,
    check ((response is null) = (stamped_at is null))
)
--;
create index stamp_batches_open on exchange.stamp_batches (batch) where response is null
--;
-- Which batch a statement's signature is in. ACCEPTED has no recipient.
create table exchange.stamps (
    envelope_id uuid not null,
    recipient text not null,
    seq bigint not null,
    batch bigint not null,
    primary key (envelope_id, recipient, seq)
)
--;
grant select on exchange.stamp_batches, exchange.stamps to exchange_server
