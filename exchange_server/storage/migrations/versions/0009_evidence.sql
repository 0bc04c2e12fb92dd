-- The indexes of evidence that the centre has sealed, by what they index: sealed once, so that the
-- same evidence has the same bytes ever after.
create table exchange.sealed_indexes (
    content_sha256 bytea primary key check (octet_length(content_sha256) = 32),
    envelope_id uuid not null,
    index bytea not null,
    signature bytea not null,
    -- The lists that were in force when it was sealed; they are part of the bundle.
    root_crl bigint not null,
    seal_crl bigint not null,
    made_at timestamptz not null
)
--;
grant select on exchange.sealed_indexes to exchange_server
--;
-- Keeps the first one that comes, with its event, and returns the one that is kept. Nothing is kept
-- that was signed with a seal that has been revoked meanwhile.
create function exchange.keep_sealed_index(
    p_content_sha256 bytea, p_envelope_id uuid, p_index bytea, p_signature bytea,
    p_centre_seal bytea, p_root_crl bigint, p_seal_crl bigint, p_made_at timestamptz,
    p_event_id uuid, p_actor text, p_salt bytea, p_event bytea
) returns setof exchange.sealed_indexes language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform exchange.lock_registry_shared();
    if exists (select from exchange.certificates
                where fingerprint = p_centre_seal and revoked_at is null) then
        insert into exchange.sealed_indexes
            (content_sha256, envelope_id, index, signature, root_crl, seal_crl, made_at)
        values (p_content_sha256, p_envelope_id, p_index, p_signature, p_root_crl, p_seal_crl, p_made_at)
        on conflict do nothing;
        if found then
            perform exchange.record_event(
                p_event_id, p_made_at, 'EVIDENCE_SEALED', p_actor, p_envelope_id, null, p_salt, p_event);
        end if;
    end if;
    return query select * from exchange.sealed_indexes where content_sha256 = p_content_sha256;
end $$
--;
revoke all on function exchange.keep_sealed_index from public
--;
grant execute on function exchange.keep_sealed_index to exchange_server
