-- name: registry_version
select version, directory, entries, clock_timestamp() as ledger_time from exchange.registry_version;

-- name: clock
select clock_timestamp();

-- name: units
select u.unit_id, u.name_zh, u.name_en, u.short_zh, u.kind,
       coalesce(u.organisation_code, '') as organisation_code,
       coalesce(u.credit_code, '') as credit_code, coalesce(u.region, '') as region,
       u.issuer_marks, u.groups, u.contact, u.status, coalesce(u.successor, '') as successor,
       array(select a.issuer from exchange.acts_for a where a.unit_id = u.unit_id order by 1) as acts_for
  from exchange.units u;

-- name: systems
select unit_id, name, description, contact, status from exchange.systems;

-- name: staff
select name, person, full_name, role, status from exchange.staff;

-- name: groups
select group_id, name_zh, name_en from exchange.groups;

-- name: routes
select route_id, effect, sender, recipient, business, genre, direction, note from exchange.routes;

-- name: quotas
select unit_id, calls_per_minute, submissions_per_minute, bytes_per_minute, bytes_in_flight, open_streams
  from exchange.quotas;

-- name: certificates
select fingerprint, identity, profile, coalesce(role, '') as role, not_before, not_after,
       revoked_at is not null as revoked
  from exchange.certificates
 where not_after > now() - interval '1 day';

-- name: businesses
select code from exchange.businesses;

-- name: newest_crls
-- Of each issuer the newest three that have begun, and the three that begin next: an authority whose
-- clock is ahead publishes lists that don't count yet.
select lists.*
  from (values ('root'), ('seal-ca')) as issuers (name)
 cross join lateral (
    (select issuer, number, this_update, next_update, der from exchange.crls
      where issuer = issuers.name and this_update <= now() order by number desc limit 3)
    union all
    (select issuer, number, this_update, next_update, der from exchange.crls
      where issuer = issuers.name and this_update > now() order by this_update limit 3)
 ) as lists;

-- name: ensure_partitions
select exchange.ensure_partitions(now() - interval '62 days', 6);
