-- Routes: who may send what to whom. The most specific that fits decides; none fits: denied.
create table exchange.routes (
    route_id text primary key check (route_id ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    effect text not null check (effect in ('ALLOW', 'DENY')),
    sender text not null check (sender ~ '^([*]|unit:[a-z0-9-]{2,40}|group:[a-z0-9-]{2,40})$'),
    recipient text not null check (recipient ~ '^([*]|unit:[a-z0-9-]{2,40}|group:[a-z0-9-]{2,40})$'),
    business text not null default '*',
    genre text not null default '*',
    direction text not null default '*' check (direction in ('*', 'UP', 'DOWN', 'PARALLEL')),
    note text not null default ''
)
--;
create trigger locks before insert or update or delete on exchange.routes
    for each statement execute function exchange.registry_changes('1')
--;
create trigger bumps after insert or update or delete on exchange.routes
    for each statement execute function exchange.registry_changed()
--;
grant select on exchange.routes to exchange_server
