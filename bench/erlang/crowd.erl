%% So many servers get their next version in release_handler's order: all are suspended, the code is loaded, all are changed, all are
%% resumed. Clients call random ones all the time.
-module(crowd).
-export([run/2]).

-define(CLIENTS, 4).

run(Servers, Rounds) ->
    {Longest, Took} = lists:unzip([once(Servers) || _ <- lists:seq(1, Rounds)]),
    measure:line(io_lib:format("keys.~w.longest", [Servers]), measure:median(Longest), "ns"),
    measure:line(io_lib:format("keys.~w.hand-over", [Servers]), measure:median(Took), "ns").

once(Count) ->
    measure:use("v1"),
    Next = measure:code("v2"),
    Servers = [begin {ok, Server} = ledger:start_link(3), Server end || _ <- lists:seq(1, Count)],
    All = list_to_tuple(Servers),
    Call = fun() -> gen_server:call(element(rand:uniform(Count), All), version, infinity) end,
    timer:sleep(500),
    Clients = [measure:client(Call) || _ <- lists:seq(1, ?CLIENTS)],
    timer:sleep(300),
    Begin = measure:now(),
    [ok = sys:suspend(Server, infinity) || Server <- Servers],
    measure:load(Next),
    [ok = sys:change_code(Server, ledger, "1", [], infinity) || Server <- Servers],
    [ok = sys:resume(Server, infinity) || Server <- Servers],
    End = measure:now(),
    timer:sleep(200),
    Calls = lists:append([measure:stop(Client) || Client <- Clients]),
    [begin unlink(Server), exit(Server, kill) end || Server <- Servers],
    timer:sleep(500),
    {measure:longest(Calls, Begin, End), End - Begin}.
