-- Quotas: what a unit may use over all server processes, and what processes have leased of it.
-- The row * is for every unit without one of its own; 0 is no limit.
create table exchange.quotas (
    unit_id text primary key check (unit_id = '*' or unit_id ~ '^[a-z0-9-]{2,40}$'),
    calls_per_minute bigint not null default 0 check (calls_per_minute >= 0),
    submissions_per_minute bigint not null default 0 check (submissions_per_minute >= 0),
    bytes_per_minute bigint not null default 0 check (bytes_per_minute >= 0),
    bytes_in_flight bigint not null default 0 check (bytes_in_flight >= 0),
    open_streams bigint not null default 0 check (open_streams >= 0)
)
--;
create trigger bumps after insert or update or delete on exchange.quotas
    for each statement execute function exchange.registry_changed()
--;
grant select on exchange.quotas to exchange_server
