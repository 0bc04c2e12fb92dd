-- Enrolment: one-use tokens, stored hashed, and seals that await approval. The authority's alone.
create table exchange.tokens (
    token_sha256 bytea primary key check (octet_length(token_sha256) = 32),
    token_id text not null unique,
    unit_id text references exchange.units (unit_id),
    system text,
    seal text,
    staff text references exchange.staff (name),
    issued_by text not null,
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    withdrawn_at timestamptz,
    -- SHA-256 of the SubjectPublicKeyInfo of the pair that owns it.
    system_key bytea,
    seal_key bytea,
    used_at timestamptz,
    check ((unit_id is null) = (system is null)),
    check ((unit_id is null) <> (staff is null)),
    check (seal is null or unit_id is not null),
    check ((system_key is null) = (used_at is null)),
    check (seal_key is null or seal is not null)
)
