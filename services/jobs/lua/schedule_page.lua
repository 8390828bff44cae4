-- Schedules, newest first. ARGV: tenant, user or '', id to go on after or '', how many
local tenant, user, after = ARGV[1], ARGV[2], ARGV[3]
local index = PREFIX .. 'schedules:' .. tenant .. (user ~= '' and ':' .. user or '')
local rows = {}
for _, id in ipairs(redis.call('ZRANGE', index, after ~= '' and '(' .. after or '+', '-', 'BYLEX', 'REV',
    'LIMIT', 0, ARGV[4])) do
  table.insert(rows, show_schedule(find_schedule(tenant, id)))
end
return rows
