-- The indexes of evidence that the centre has sealed, by what they index: sealed once, so that the
-- same evidence has the same bytes ever after.
create table exchange.sealed_indexes (
    content_sha256 bytea primary key check (octet_length(content_sha256) = 32),
    envelope_id uuid not null,
    index bytea not null,
    signature bytea not null,
    root_crl bigint not null,
    seal_crl bigint not null,
    made_at timestamptz not null
)
--;
grant select on exchange.sealed_indexes to exchange_server
--;
-- Keeps the first one that comes, and returns the one that is kept.
create function exchange.keep_sealed_index(
    p_content_sha256 bytea, p_envelope_id uuid, p_index bytea, p_signature bytea,
    p_root_crl bigint, p_seal_crl bigint, p_made_at timestamptz
) returns setof exchange.sealed_indexes language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into exchange.sealed_indexes
        (content_sha256, envelope_id, index, signature, root_crl, seal_crl, made_at)
    values (p_content_sha256, p_envelope_id, p_index, p_signature, p_root_crl, p_seal_crl, p_made_at)
    on conflict do nothing;
    return query select * from exchange.sealed_indexes where content_sha256 = p_content_sha256;
end $$
--;
revoke all on function exchange.keep_sealed_index from public
--;
grant execute on function exchange.keep_sealed_index to exchange_server
