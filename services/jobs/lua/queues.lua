-- How much waits and runs. ARGV: tenant, then queues
-- Returns of each {waiting, running, ms of the oldest} of the tenant, then of everybody.
local tenant, rows = ARGV[1], {}

local function oldest(queue, whose)
  local first = redis.call('ZRANGE', PREFIX .. 'waits:' .. queue .. ':' .. whose, 0, 0, 'WITHSCORES')
  return first[2] and now - tonumber(first[2]) or 0
end

for at = 2, #ARGV do
  local queue, longest = ARGV[at], 0
  for _, each in ipairs(redis.call('ZRANGE', turns_of(queue), 0, -1)) do
    longest = math.max(longest, oldest(queue, each))
  end
  local own = queue .. ':' .. tenant
  rows[#rows + 1] = {
    counted('waiting', 'queue of', own), counted('running', 'queue of', own), oldest(queue, tenant),
    counted('waiting', 'queue', queue), counted('running', 'queue', queue), longest,
  }
end
return rows
