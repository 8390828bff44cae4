-- Those whose moment has come. ARGV: how many at most
-- Returns {now, {tenant, id, owner, version, tick or '', definition, ticks that wait} …}.
local rows = {now}
for _, member in ipairs(redis.call('ZRANGE', DUE, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local tenant, id = string.match(member, '^([^:]+):(.+)$')
  local schedule = find_schedule(tenant, id)
  if schedule then
    local found = redis.call('HMGET', schedule.key, 'tick', 'definition')
    table.insert(rows, {tenant, id, schedule.owner, schedule.version, found[1], found[2],
      redis.call('LRANGE', schedule.waiting, 0, -1)})
  else
    redis.call('ZREM', DUE, member)
  end
end
return rows
