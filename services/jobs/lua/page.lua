-- Jobs of a list, newest first (their ids sort by time). Looks at a bounded number and says where to go on.
-- ARGV: the list ('index:<tenant>', 'dead:<tenant>:<user>' …), tenant, id to go on after or '', limit, status or '',
--   kind or '', how many to look at, then the parent and user or '' when they are children
-- Returns {rows, id to go on after or ''}, or false when there is no such parent.
local index, tenant, after, limit = PREFIX .. ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local status, kind, looks = ARGV[5], ARGV[6], tonumber(ARGV[7])
if ARGV[8] and not find(tenant, ARGV[8], ARGV[9]) then return false end
local rows, from = {}, after ~= '' and '(' .. after or '+'
local ids = redis.call('ZRANGE', index, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, looks + 1)
for number, id in ipairs(ids) do
  if number > looks or #rows == limit then return {rows, ids[number - 1]} end
  local row = redis.call('HMGET', PREFIX .. 'job:' .. tenant .. ':' .. id, 'kind', 'title', 'owner', 'status',
    'cursor', 'step_count', 'created_at', 'last_update')
  if row[1] and (status == '' or row[4] == status) and (kind == '' or row[1] == kind) then
    table.insert(row, 1, id)
    table.insert(rows, row)
  end
end
return {rows, ''}
