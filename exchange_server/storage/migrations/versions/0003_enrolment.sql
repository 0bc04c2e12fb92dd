-- Enrolment: one-use tokens, stored hashed, and seals that await approval. The authority's alone.
create table exchange.tokens (
    token_id uuid primary key,
    token_sha256 bytea not null unique check (octet_length(token_sha256) = 32),
    unit_id text references exchange.units (unit_id),
    system text,
    seal text,
    staff text references exchange.staff (name),
    issued_by text not null,
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    withdrawn_by text,
    withdrawn_at timestamptz,
    -- SHA-256 of the SubjectPublicKeyInfo of the pair that owns it.
    system_key bytea check (octet_length(system_key) = 32),
    seal_key bytea check (octet_length(seal_key) = 32),
    used_at timestamptz,
    -- What the system's key got for it.
    certificate bytea references exchange.certificates (fingerprint),
    check (expires_at > issued_at),
    check ((unit_id is null) = (system is null)),
    check ((unit_id is null) <> (staff is null)),
    check (seal is null or unit_id is not null),
    check ((withdrawn_by is null) = (withdrawn_at is null)),
    check (withdrawn_at is null or used_at is null),
    check ((system_key is null) = (used_at is null)),
    check ((seal_key is null) = (used_at is null or seal is null)),
    check (system_key <> seal_key),
    check (certificate is null or used_at is not null)
)
--;
create index tokens_unit on exchange.tokens (unit_id, token_id)
--;
-- A seal that somebody enrolled for. APPROVED without a certificate: about to be issued.
create table exchange.seal_requests (
    request_id uuid primary key,
    token_id uuid not null unique references exchange.tokens (token_id),
    unit_id text not null references exchange.units (unit_id),
    seal text not null,
    public_key bytea not null,
    key_sha256 bytea not null check (key_sha256 = sha256(public_key)),
    requested_at timestamptz not null,
    standing text not null default 'PENDING' check (standing in ('PENDING', 'APPROVED', 'REJECTED')),
    decided_by text,
    decided_at timestamptz,
    reason text not null default '',
    certificate bytea references exchange.certificates (fingerprint),
    check ((standing = 'PENDING') = (decided_by is null)),
    check ((decided_by is null) = (decided_at is null)),
    check (standing <> 'REJECTED' or reason <> ''),
    check (certificate is null or standing = 'APPROVED')
)
--;
create index seal_requests_unit on exchange.seal_requests (unit_id, request_id)
--;
-- What the world sees of them: who was approved and is not issued yet still waits.
create view exchange.seal_request_standings as
    select r.request_id, r.unit_id as unit, r.seal, r.public_key, r.key_sha256, r.requested_at,
           case when r.certificate is not null then 'ISSUED'
                when r.standing = 'REJECTED' then 'REJECTED'
                else 'PENDING' end as standing,
           r.standing = 'APPROVED' as approved, coalesce(r.decided_by, '') as decided_by,
           r.decided_at, r.reason, c.der as certificate
      from exchange.seal_requests r
      left join exchange.certificates c on c.fingerprint = r.certificate
--;
-- An event whose type and actor stand in its own bytes.
create function exchange.record_prepared(
    p_event_id uuid, p_at timestamptz, p_salt bytea, p_event bytea
) returns bigint language sql
    security definer set search_path = pg_catalog, pg_temp as $$
    select exchange.record_event(p_event_id, p_at, e ->> 'type', e ->> 'actor', null, null, p_salt, p_event)
      from (select convert_from(p_event, 'UTF8')::jsonb) as t (e)
$$
--;
-- Whether whom a token is for may have certificates now: ACTIVE, or what stands against it.
create function exchange.standing_of_holder(
    p_unit_id text, p_system text, p_staff text, out outcome text, out detail text
) language plpgsql stable
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_staff is not null then
        select status into detail from exchange.staff where name = p_staff;
        outcome := case when detail is null then 'STAFF_UNKNOWN'
                        when detail <> 'ACTIVE' then 'STAFF_NOT_ACTIVE' else 'ACTIVE' end;
        return;
    end if;
    select status into detail from exchange.units where unit_id = p_unit_id;
    outcome := case when detail is null then 'UNIT_UNKNOWN'
                    when detail <> 'ACTIVE' then 'UNIT_NOT_ACTIVE' else 'ACTIVE' end;
    if outcome <> 'ACTIVE' then
        return;
    end if;
    -- A system without a row has nothing against it.
    select status into detail from exchange.systems where unit_id = p_unit_id and name = p_system;
    if detail <> 'ACTIVE' then
        outcome := 'SYSTEM_NOT_ACTIVE';
    end if;
end $$
--;
-- Outcomes: ISSUED, UNIT_UNKNOWN, UNIT_NOT_ACTIVE, SYSTEM_NOT_ACTIVE, STAFF_UNKNOWN, STAFF_NOT_ACTIVE.
create function exchange.issue_token(
    p_token_id uuid, p_token_sha256 bytea, p_unit_id text, p_system text, p_seal text, p_staff text,
    p_issued_by text, p_issued_at timestamptz, p_expires_at timestamptz,
    p_event_id uuid, p_salt bytea, p_event bytea, out outcome text, out detail text
) language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock_shared(7001, 1);  -- units, systems, staff
    select s.outcome, s.detail into outcome, detail
      from exchange.standing_of_holder(p_unit_id, p_system, p_staff) s;
    if outcome <> 'ACTIVE' then
        return;
    end if;
    insert into exchange.tokens
        (token_id, token_sha256, unit_id, system, seal, staff, issued_by, issued_at, expires_at)
    values (p_token_id, p_token_sha256, p_unit_id, p_system, p_seal, p_staff, p_issued_by,
            p_issued_at, p_expires_at);
    perform exchange.record_prepared(p_event_id, p_issued_at, p_salt, p_event);
    outcome := 'ISSUED';
    detail := null;
end $$
--;
-- Outcomes: WITHDRAWN, SAME (it was before), USED, UNKNOWN.
create function exchange.withdraw_token(
    p_token_id uuid, p_by text, p_at timestamptz, p_event_id uuid, p_salt bytea, p_event bytea
) returns text language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_token exchange.tokens;
begin
    select * into v_token from exchange.tokens where token_id = p_token_id for update;
    if not found then
        return 'UNKNOWN';
    elsif v_token.used_at is not null then
        return 'USED';
    elsif v_token.withdrawn_at is not null then
        return 'SAME';
    end if;
    update exchange.tokens set withdrawn_by = p_by, withdrawn_at = p_at where token_id = p_token_id;
    perform exchange.record_prepared(p_event_id, p_at, p_salt, p_event);
    return 'WITHDRAWN';
end $$
--;
-- Binds a token to the pair of keys that came first, for good: whoever else comes waits for the row
-- and then finds other keys there. With its seal goes the request for it.
-- Outcomes: CLAIMED, SAME (by the same pair before), and nothing is written with UNKNOWN, WITHDRAWN,
--   OTHER_KEY, EXPIRED, CERTIFICATE_REVOKED, UNIT_NOT_ACTIVE, SYSTEM_NOT_ACTIVE, STAFF_NOT_ACTIVE.
-- The pair that owns it collects for as long as its certificate is valid, or would be
-- (p_collectable) where a crash kept it from being noted. All by the ledger's clock: p_at only says
-- when it was claimed.
create function exchange.claim_token(
    p_token_sha256 bytea, p_system_key bytea, p_seal_public_key bytea,
    p_at timestamptz, p_collectable interval,
    p_used_event_id uuid, p_used_salt bytea, p_used_event bytea,
    p_request_id uuid, p_request_event_id uuid, p_request_salt bytea, p_request_event bytea,
    out outcome text, out detail text
) language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_token exchange.tokens;
    v_certificate exchange.certificates;
begin
    perform pg_advisory_xact_lock_shared(7001, 1);  -- units, systems, staff
    select * into v_token from exchange.tokens where token_sha256 = p_token_sha256 for update;
    if not found then
        outcome := 'UNKNOWN';
    elsif v_token.withdrawn_at is not null then
        outcome := 'WITHDRAWN';
    elsif v_token.used_at is null then
        outcome := case when clock_timestamp() < v_token.expires_at then 'CLAIMED' else 'EXPIRED' end;
    elsif v_token.system_key <> p_system_key
       or v_token.seal_key is distinct from sha256(p_seal_public_key) then
        outcome := 'OTHER_KEY';
    else
        select * into v_certificate from exchange.certificates where fingerprint = v_token.certificate;
        outcome := case
            when v_certificate.revoked_at is not null then 'CERTIFICATE_REVOKED'
            when clock_timestamp() > coalesce(v_certificate.not_after, v_token.used_at + p_collectable)
                then 'EXPIRED'
            else 'SAME' end;
    end if;
    if outcome not in ('CLAIMED', 'SAME') then
        return;
    end if;
    select s.outcome, s.detail into outcome, detail
      from exchange.standing_of_holder(v_token.unit_id, v_token.system, v_token.staff) s;
    if outcome <> 'ACTIVE' then
        return;
    end if;
    detail := null;
    if v_token.used_at is not null then
        outcome := 'SAME';
        return;
    end if;
    outcome := 'CLAIMED';
    update exchange.tokens
       set system_key = p_system_key, seal_key = sha256(p_seal_public_key), used_at = p_at
     where token_id = v_token.token_id;
    perform exchange.record_prepared(p_used_event_id, p_at, p_used_salt, p_used_event);
    if v_token.seal is null then
        return;
    end if;
    insert into exchange.seal_requests
        (request_id, token_id, unit_id, seal, public_key, key_sha256, requested_at)
    values (p_request_id, v_token.token_id, v_token.unit_id, v_token.seal, p_seal_public_key,
            sha256(p_seal_public_key), p_at);
    perform exchange.record_prepared(p_request_event_id, p_at, p_request_salt, p_request_event);
end $$
--;
-- What a token's key got; the first note stands.
create function exchange.note_system_certificate(p_token_id uuid, p_fingerprint bytea) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update exchange.tokens set certificate = p_fingerprint
     where token_id = p_token_id and certificate is null
$$
--;
create function exchange.note_seal_certificate(p_request_id uuid, p_fingerprint bytea) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update exchange.seal_requests set certificate = p_fingerprint
     where request_id = p_request_id and certificate is null
$$
--;
-- Whether a seal may be issued upon a request now: ACTIVE, or what stands against its unit, or the
-- system that asked for it: UNIT_NOT_ACTIVE, SYSTEM_NOT_ACTIVE, CERTIFICATE_REVOKED.
create function exchange.standing_of_seal_request(p_request_id uuid, out outcome text, out detail text)
    language plpgsql stable
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_token exchange.tokens;
begin
    select t.* into v_token
      from exchange.tokens t join exchange.seal_requests r using (token_id)
     where r.request_id = p_request_id;
    select s.outcome, s.detail into outcome, detail
      from exchange.standing_of_holder(v_token.unit_id, v_token.system, null) s;
    if outcome = 'ACTIVE' and exists (
        select from exchange.certificates
         where fingerprint = v_token.certificate and revoked_at is not null
    ) then
        outcome := 'CERTIFICATE_REVOKED';
    end if;
end $$
--;
-- Outcomes: DECIDED, SAME (decided so before), OTHERWISE (detail: how it was decided), UNKNOWN,
--   OTHER_KEY, SAME_PERSON (who issued the token); for approval also those of
--   standing_of_seal_request.
create function exchange.decide_seal(
    p_request_id uuid, p_key_sha256 bytea, p_approve boolean, p_by text, p_reason text,
    p_at timestamptz, p_event_id uuid, p_salt bytea, p_event bytea,
    out outcome text, out detail text
) language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_request exchange.seal_requests;
    v_standing text := case when p_approve then 'APPROVED' else 'REJECTED' end;
begin
    perform pg_advisory_xact_lock_shared(7001, 1);  -- units, systems, staff
    select * into v_request from exchange.seal_requests where request_id = p_request_id for update;
    if not found then
        outcome := 'UNKNOWN';
    elsif v_request.key_sha256 <> p_key_sha256 then
        outcome := 'OTHER_KEY';
    elsif exists (select from exchange.tokens where token_id = v_request.token_id and issued_by = p_by) then
        outcome := 'SAME_PERSON';
    elsif v_request.standing = v_standing then
        outcome := 'SAME';
    elsif v_request.standing <> 'PENDING' then
        outcome := 'OTHERWISE';
        detail := v_request.standing;
    elsif p_approve then
        select s.outcome, s.detail into outcome, detail
          from exchange.standing_of_seal_request(p_request_id) s;
    end if;
    if outcome <> 'ACTIVE' then
        return;
    end if;
    update exchange.seal_requests
       set standing = v_standing, decided_by = p_by, decided_at = p_at, reason = p_reason
     where request_id = p_request_id;
    perform exchange.record_prepared(p_event_id, p_at, p_salt, p_event);
    outcome := 'DECIDED';
    detail := null;
end $$
--;
revoke all on function exchange.record_prepared, exchange.standing_of_holder, exchange.issue_token,
    exchange.withdraw_token, exchange.claim_token, exchange.note_system_certificate,
    exchange.note_seal_certificate, exchange.standing_of_seal_request, exchange.decide_seal from public
--;
grant execute on function exchange.issue_token, exchange.withdraw_token, exchange.claim_token,
    exchange.note_system_certificate, exchange.note_seal_certificate,
    exchange.standing_of_seal_request, exchange.decide_seal, exchange.record_event to exchange_authority
--;
grant select on exchange.tokens, exchange.seal_requests, exchange.seal_request_standings,
    exchange.registry_version to exchange_authority

--; ------------------------------------------------------------------ what the authority's service does
drop function exchange.publish_certificate
--;
-- Many issuances at once, in one transaction; how many were new.
create function exchange.publish_certificates(
    p_fingerprints bytea[], p_serials text[], p_identities text[], p_profiles text[], p_roles text[],
    p_not_before timestamptz[], p_not_after timestamptz[], p_ders bytea[], p_issued_at timestamptz[],
    p_event_ids uuid[], p_salts bytea[], p_events bytea[]
) returns int language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_at timestamptz := clock_timestamp();
    v_new int;
begin
    -- One publisher at a time: two with the same certificates in turn would wait for each other.
    perform pg_advisory_xact_lock(7003, 1);
    if exists (select from unnest(p_fingerprints, p_ders) as t (f, d) where sha256(d) <> f) then
        raise exception 'the fingerprint is not that of the certificate' using errcode = 'check_violation';
    end if;
    insert into exchange.certificates
        (fingerprint, serial, identity, profile, role, not_before, not_after, der, issued_at,
         issued_event, issued_event_at)
    select n.f, n.serial, n.identity, n.profile, n.role, n.begins, n.ends, n.der, n.issued_at,
           exchange.record_event(n.event_id, v_at, 'CERTIFICATE_ISSUED',
               convert_from(n.event, 'UTF8')::jsonb ->> 'actor', null, null, n.salt, n.event),
           v_at
      from (select distinct on (f) *
              from unnest(p_fingerprints, p_serials, p_identities, p_profiles, p_roles, p_not_before,
                          p_not_after, p_ders, p_issued_at, p_event_ids, p_salts, p_events)
                with ordinality
                as t (f, serial, identity, profile, role, begins, ends, der, issued_at, event_id, salt, event, place)
             where not exists (select from exchange.certificates c where c.fingerprint = f)
             order by f, place) as n
     order by n.place;
    get diagnostics v_new = row_count;
    return v_new;
end $$
--;
create index certificates_inventory on exchange.certificates (identity, issued_at desc, fingerprint)
--;
revoke all on function exchange.publish_certificates from public
--;
grant execute on function exchange.publish_certificates to exchange_authority
