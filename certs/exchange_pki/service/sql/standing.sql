-- name: registry_version
select version, clock_timestamp() as ledger_time from exchange.registry_version;

-- name: callers
select fingerprint, identity, coalesce(role, '') as role, revoked_at is not null as revoked
  from exchange.certificates
 where profile in ('system', 'staff', 'server') and not_after > now() - interval '1 day';

-- name: unit_standings
select unit_id, status from exchange.units;

-- name: system_standings
select unit_id, name, status from exchange.systems;

-- name: staff_standings
select name, role, status from exchange.staff;
