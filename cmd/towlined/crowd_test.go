package main

import "testing"

func TestConnectionsOfAMemberAreBounded(t *testing.T) {
	c := newCrowd(2)
	var leave []func()
	for range 2 {
		l, ok := c.enter("bob")
		if !ok {
			t.Fatal("refused")
		}
		leave = append(leave, l)
	}
	if _, ok := c.enter("bob"); ok {
		t.Error("a third of bob's")
	}
	if _, ok := c.enter("eve"); !ok {
		t.Error("eve is refused for what bob has")
	}
	for range 5 {
		if _, ok := c.enter(""); !ok {
			t.Error("the operator is refused")
		}
	}
	leave[0]()
	l, ok := c.enter("bob")
	if !ok {
		t.Fatal("refused after one had ended")
	}
	l()
	leave[1]()
	if _, there := c.open["bob"]; there {
		t.Error("bob is counted still")
	}
}
